const WORKED_BY_KEYS = ["button", "input", "select"];

// Makes an element; what is null or false among its attributes and children is left out.
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  // JupyterLab would take arrows and letters for its own shortcuts where one of these has the focus.
  if (WORKED_BY_KEYS.includes(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== false));
  return node;
}

function unique(name) {
  return `tars-${name}-${Math.random().toString(36).slice(2, 10)}`;
}

// Changes a text only where it differs: live regions read out what is written into them.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
