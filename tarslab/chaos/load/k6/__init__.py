"""The same load by k6: its script, its runs, and its operator on Kubernetes."""
