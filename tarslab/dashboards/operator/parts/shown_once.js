function render({ model, el }) {
  const id = unique("key");
  const what = h("label", { for: id });
  // Set as a property, a value is not part of the page's HTML, and off keeps browsers from storing it.
  const field = h("input", { id, readonly: true, autocomplete: "off", spellcheck: "false" });
  const copied = h("span", { role: "status" });
  const left = h("span", { class: "tars-hint" });
  const box = h(
    "section",
    { class: "tars-key", "aria-label": "New API key", hidden: true },
    what,
    h(
      "div",
      { class: "tars-submit" },
      field,
      h("button", { type: "button", class: "tars-primary", onclick: copy }, "Copy"),
      h("button", { type: "button", class: "tars-plain", onclick: hide }, "Hide"),
      copied,
    ),
    left,
  );
  el.append(box);
  let timer = null;

  async function copy() {
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // Without https, or where the page may not write to the clipboard.
      field.select();
      document.execCommand("copy");
    }
    say(copied, "Copied.");
  }

  function hide() {
    forget();
    model.send({ hide: model.get("ticket") });
  }

  function forget() {
    clearInterval(timer);
    field.value = "";
    box.hidden = true;
    say(copied, "");
  }

  function follow() {
    forget();
    if (model.get("ticket")) model.send({ want: model.get("ticket") });
  }

  // Counted here, so that the key also vanishes where the kernel has died.
  function count(seconds) {
    say(left, `It is not shown again, and vanishes in ${seconds} s.`);
    if (seconds <= 0) hide();
  }

  model.on("msg:custom", (message) => {
    if (message.ticket !== model.get("ticket")) return;
    say(what, model.get("what"));
    field.value = message.key;
    box.hidden = false;
    field.focus();
    field.select();
    let seconds = model.get("seconds");
    count(seconds);
    timer = setInterval(() => count(--seconds), 1_000);
  });
  model.on("change:ticket", follow);
  follow();
  return forget;
}

export default { render };
