const SVG = "http://www.w3.org/2000/svg";

function render({ model, el }) {
  const group = unique("row");
  const rows = new Map();
  const caption = h("caption");
  const head = h("tr");
  const body = h("tbody");
  const empty = h("p", { class: "tars-hint" });
  const table = h("table", {}, caption, h("thead", {}, head), body);
  const frame = h("div", { class: "tars-table" }, table);
  el.append(frame, empty);

  function choose(key) {
    model.set("selected", key);
    model.save_changes();
    showSelected();
  }

  function makeCell(column, cell) {
    const node = h("td", { class: column.number ? "tars-number" : null });
    fill(node, cell);
    return node;
  }

  function fill(node, cell) {
    const shown = cell === null || cell === undefined ? "" : cell;
    if (typeof shown !== "object") node.replaceChildren(String(shown));
    else if ("path" in shown) node.replaceChildren(sparkline(shown));
    else node.replaceChildren(h("span", { class: `tars-badge tars-${shown.tone}` }, shown.text));
  }

  function sparkline({ path, text }) {
    const svg = document.createElementNS(SVG, "svg");
    const line = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", "0 0 100 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "tars-spark");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", text);
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  function makeRow(row, columns) {
    const tr = h("tr");
    let radio = null;
    if (model.get("selectable")) {
      radio = h("input", {
        type: "radio",
        name: group,
        value: row.key,
        onchange: () => choose(row.key),
      });
      tr.append(h("td", { class: "tars-choice" }, radio));
      tr.addEventListener("click", (event) => {
        if (event.target !== radio) radio.click();
      });
    }
    const cells = columns.map((column, place) => makeCell(column, row.cells[place]));
    tr.append(...cells);
    return { tr, radio, cells, texts: row.cells.map((cell) => JSON.stringify(cell)) };
  }

  // Rows stay the same elements while they are shown, so that the focus stays where it is.
  function showRows() {
    const columns = model.get("columns");
    const wanted = model.get("rows");
    const keys = new Set(wanted.map((row) => row.key));
    for (const [key, { tr }] of rows) {
      if (!keys.has(key)) {
        tr.remove();
        rows.delete(key);
      }
    }
    wanted.forEach((row, place) => {
      let made = rows.get(row.key);
      if (made === undefined) rows.set(row.key, (made = makeRow(row, columns)));
      made.radio?.setAttribute("aria-label", row.name);
      row.cells.forEach((cell, number) => {
        const text = JSON.stringify(cell);
        if (made.texts[number] === text) return;
        fill(made.cells[number], cell);
        made.texts[number] = text;
      });
      if (body.children[place] !== made.tr) body.insertBefore(made.tr, body.children[place] || null);
    });
    table.hidden = wanted.length === 0;
    say(empty, wanted.length === 0 ? model.get("empty") : "");
    showSelected();
  }

  function showSelected() {
    for (const [key, { tr, radio }] of rows) {
      const chosen = key === model.get("selected");
      tr.classList.toggle("tars-chosen", chosen);
      if (radio) radio.checked = chosen;
    }
  }

  function showFrame() {
    say(caption, model.get("caption"));
    const names = model.get("columns").map((column) =>
      h("th", { scope: "col", class: column.number ? "tars-number" : null }, column.name),
    );
    const choice = h("td", { class: "tars-choice" });
    head.replaceChildren(...(model.get("selectable") ? [choice] : []), ...names);
    if (!model.get("selectable")) {
      // What scrolls must be reachable; a table with radio buttons is.
      for (const [name, value] of Object.entries({
        tabindex: "0",
        role: "region",
        "aria-label": model.get("caption"),
      })) {
        frame.setAttribute(name, value);
      }
    }
  }

  model.on("change:rows change:empty", showRows);
  model.on("change:selected", showSelected);
  model.on("change:caption", showFrame);
  showFrame();
  showRows();
}

export default { render };
