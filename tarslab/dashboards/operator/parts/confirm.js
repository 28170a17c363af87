function render({ model, el }) {
  const title = h("h2", { id: unique("question") });
  const lines = h("div");
  const no = h("button", { type: "button", class: "tars-plain", onclick: () => answer(false) });
  const yes = h("button", { type: "button", onclick: () => answer(true) });
  const dialog = h(
    "dialog",
    { class: "tars-dialog", "aria-labelledby": title.id, oncancel: leave },
    title,
    lines,
    h("div", { class: "tars-submit" }, no, yes),
  );
  el.append(dialog);
  say(no, "Cancel");

  function leave(event) {
    event.preventDefault();
    answer(false);
  }

  function answer(given) {
    const { ticket } = model.get("question");
    dialog.close();
    if (ticket !== undefined) model.send({ answer: given, ticket });
  }

  function show() {
    const { title: asked, lines: said, verb, danger } = model.get("question");
    if (asked === undefined) {
      dialog.close();
      return;
    }
    say(title, asked);
    lines.replaceChildren(...said.map((line) => h("p", {}, line)));
    say(yes, verb);
    yes.className = danger ? "tars-danger" : "tars-primary";
    if (!dialog.open) dialog.showModal();
    no.focus();
  }

  model.on("change:question", show);
  // A view that is made within a dialog of another would open it before it is in the page.
  requestAnimationFrame(show);
}

export default { render };
