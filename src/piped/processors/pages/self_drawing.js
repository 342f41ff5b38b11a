// Draws the dot text in the <metadata> of the SVG that this script stands in, and puts the drawing in its place.
{
  const svg = document.currentScript.ownerSVGElement;
  const show = drawn => {
    for (const { name, value } of drawn.attributes) if (!name.startsWith("xmlns")) svg.setAttribute(name, value);
    svg.replaceChildren(...drawn.childNodes);
  };
  Viz.instance()
    .then(viz => show(viz.renderSVGElement(svg.querySelector("metadata").textContent)))
    .catch(error => { svg.querySelector("text").textContent = `This cannot be drawn: ${error.message}`; });
}
