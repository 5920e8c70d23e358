// Plots have the colours of the page, which is dark where its reader wants pages dark.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  const [text, line] = dark.matches ? ["#ddd", "#444"] : ["#2a3f5f", "#ebf0f8"];
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    const look = { paper_bgcolor: "transparent", plot_bgcolor: "transparent", "font.color": text };
    for (const axis of Object.keys(plot.layout).filter((name) => /^[xy]axis/.test(name))) {
      look[`${axis}.gridcolor`] = look[`${axis}.linecolor`] = look[`${axis}.zerolinecolor`] = line;
    }
    Plotly.update(plot, { "error_x.color": text, "error_y.color": text }, look);
  }
};
window.addEventListener("load", paint);
dark.addEventListener("change", paint);
