for (const figure of document.querySelectorAll("figure.chart")) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const still = figure.querySelector(".still");
  const live = document.createElement("div");
  live.className = "live";
  figure.append(live);
  if (spec.usermeta?.responsive) spec.width = "container";
  const options = {
    renderer: "svg",
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  vegaEmbed(live, spec, options).then(
    () => still.remove(),
    (error) => {
      live.remove();
      console.error("the chart stays a still picture:", error);
    },
  );
}
