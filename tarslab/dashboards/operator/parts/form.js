function render({ model, el }) {
  const id = unique("form");
  const controls = new Map();
  const slots = new Map();
  let sent = null;

  const fields = h("div", { class: "tars-fields" });
  const why = h("span", { id: `${id}-why`, class: "tars-why" });
  const button = h("button", { type: "submit", "aria-describedby": why.id });
  const note = h("p", { role: "status", class: "tars-note" });
  const form = h(
    "form",
    { class: "tars-form", novalidate: true, onsubmit: submit },
    fields,
    h("div", { class: "tars-submit" }, button, why),
    note,
  );
  el.append(form);

  function locked() {
    return model.get("pending") || sent === model.get("turn");
  }

  function submit(event) {
    event.preventDefault();
    if (locked() || model.get("blocked") || model.get("wait")) return;
    const values = {};
    const secrets = {};
    for (const [name, control] of controls) {
      if (control.secret) {
        secrets[name] = control.read();
        control.write("");
      } else values[name] = control.read();
    }
    sent = model.get("turn");
    showState();
    model.send({ submit: sent, values, secrets });
  }

  // Browsers do so themselves, but a notebook of JupyterLab takes the key from them.
  function submitOnEnter(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  }

  // Secrets are never among them: what a model holds is kept in saved notebooks.
  function keep() {
    const values = {};
    for (const [name, control] of controls) if (!control.secret) values[name] = control.read();
    model.set("values", values);
    model.save_changes();
  }

  function build() {
    controls.clear();
    slots.clear();
    fields.replaceChildren(...model.get("fields").map(makeField));
    form.classList.toggle("tars-inline", controls.size < 2);
    showValues();
    showErrors();
  }

  function makeField(field) {
    const own = `${id}-${field.name}`;
    const hint = h("p", { id: `${own}-hint`, class: "tars-hint" }, field.hint || "");
    const error = h("p", { id: `${own}-error`, class: "tars-error" });
    const about = { "aria-describedby": `${hint.id} ${error.id}` };
    const [control, node, label] = make(field, own, about);
    controls.set(field.name, control);
    slots.set(field.name, { error, node });
    const group = field.kind === "checks" ? "fieldset" : "div";
    return h(group, { class: `tars-field tars-${field.kind}` }, label, node, hint, error);
  }

  function make(field, own, about) {
    const label = h("label", { for: own }, field.label);
    if (field.kind === "select") {
      const options = field.options.map(([value, text]) => h("option", { value }, text));
      const node = h("select", { id: own, ...about, onchange: keep }, ...options);
      return [valueOf(node), node, label];
    }
    if (field.kind === "checks") return makeChecks(field, own, about);
    const types = { password: "password", time: "datetime-local" };
    const node = h("input", {
      id: own,
      type: types[field.kind] || "text",
      inputmode: field.kind === "number" ? "decimal" : null,
      step: field.kind === "time" ? "1" : null,
      autocomplete: field.autocomplete || "off",
      spellcheck: "false",
      ...about,
      onchange: field.kind === "password" ? null : keep,
      onkeydown: submitOnEnter,
    });
    return [{ ...valueOf(node), secret: field.kind === "password" }, node, label];
  }

  function makeChecks(field, own, about) {
    const boxes = field.options.map(([value, text, barred]) => {
      const box = h("input", { type: "checkbox", value, disabled: Boolean(barred), onchange: keep });
      return [box, h("label", { title: barred || null }, box, text)];
    });
    const node = h("div", { id: own, class: "tars-boxes" }, ...boxes.map(([, label]) => label));
    const control = {
      read: () => boxes.filter(([box]) => box.checked).map(([box]) => box.value),
      write: (values) => boxes.forEach(([box]) => (box.checked = (values || []).includes(box.value))),
    };
    boxes.forEach(([box]) => box.setAttribute("aria-describedby", about["aria-describedby"]));
    return [control, node, h("legend", {}, field.label)];
  }

  function valueOf(node) {
    return { read: () => node.value, write: (value) => (node.value = value ?? "") };
  }

  function showValues() {
    const values = model.get("values");
    for (const [name, control] of controls) {
      if (!control.secret && name in values) control.write(values[name]);
    }
  }

  function showErrors() {
    const errors = model.get("errors");
    for (const [name, slot] of slots) {
      say(slot.error, errors[name] || "");
      if (errors[name]) slot.node.setAttribute("aria-invalid", "true");
      else slot.node.removeAttribute("aria-invalid");
    }
    const first = [...slots].find(([name]) => errors[name]);
    if (first && form.contains(document.activeElement)) {
      const [, { node }] = first;
      (node.matches("div") ? node.querySelector("input") : node)?.focus();
    }
  }

  function showState() {
    const pending = locked();
    const wait = model.get("wait");
    const blocked = model.get("blocked");
    say(button, pending ? model.get("doing") : model.get("label"));
    button.className = `tars-${model.get("look")}`;
    button.setAttribute("aria-busy", String(pending));
    // A button that is only said to be disabled can be reached by keyboard, and its reason heard.
    button.setAttribute("aria-disabled", String(Boolean(pending || wait || blocked)));
    say(why, blocked || (wait ? `Possible again in ${wait} s.` : ""));
  }

  function showNote() {
    note.className = `tars-note tars-${model.get("tone")}`;
    say(note, model.get("note"));
  }

  model.on("change:fields", build);
  model.on("change:values", showValues);
  model.on("change:errors", showErrors);
  for (const name of ["pending", "blocked", "wait", "label", "turn"]) {
    model.on(`change:${name}`, showState);
  }
  model.on("change:note change:tone", showNote);
  build();
  showState();
  showNote();
}

export default { render };
