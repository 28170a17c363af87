const PULSE = 2_000;

function render({ model, el }) {
  const view = unique("view");
  const where = h("span", { class: "tars-where" });
  const who = h("span");
  const mode = h("span", { class: "tars-badge" });
  const refreshed = h("span", { class: "tars-hint" });
  const banner = h("p", { role: "alert", class: "tars-banner" });
  const countdown = h("span", { class: "tars-hint" });
  const trouble = h("div", { class: "tars-trouble" }, banner, countdown);
  el.append(h("div", { class: "tars-masthead" }, where, who, mode, refreshed), trouble);

  function show() {
    say(where, model.get("where"));
    say(who, model.get("who"));
    say(mode, model.get("mode"));
    mode.className = `tars-badge tars-${model.get("mode") === "normal" ? "good" : "warn"}`;
    mode.hidden = model.get("mode") === "";
    say(refreshed, model.get("refreshed"));
    say(banner, model.get("banner"));
    say(countdown, model.get("countdown"));
    trouble.hidden = model.get("banner") === "";
    trouble.className = `tars-trouble tars-${model.get("tone")}`;
  }

  // Says that somebody looks: what is refreshed for nobody is work for nothing.
  function pulse() {
    if (document.visibilityState === "visible" && el.getClientRects().length > 0) {
      model.send({ pulse: view });
    }
  }

  model.on("change", show);
  show();
  const timer = setInterval(pulse, PULSE);
  document.addEventListener("visibilitychange", pulse);
  requestAnimationFrame(pulse);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", pulse);
    model.send({ gone: view });
  };
}

export default { render };
