"""Who may do what: passwords, tokens, signing keys, API keys, scopes and limits."""
