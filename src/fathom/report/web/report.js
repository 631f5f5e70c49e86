// Shows the rows of a run in a dialog. The viewer of each run is a complete page, embedded in compressed form. A link has
// the form #rows=RUN&outcome=wrong, where the parameters after the run are filters of the viewer.

const dialog = document.getElementById("rows");
const frame = dialog.querySelector("iframe");

async function show() {
  const { name, filters } = wanted();
  const viewer = [...document.querySelectorAll("script.viewer")].find((each) => each.dataset.run === name);
  if (!viewer) return dialog.close();
  // A new URL each time, because changing only the fragment would not reload the page.
  URL.revokeObjectURL(frame.src.split("#")[0]);
  frame.src = `${URL.createObjectURL(await unpacked(viewer.textContent))}#${filters}`;
  if (!dialog.open) dialog.showModal();
  frame.focus();
}

function wanted() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const name = parameters.get("rows");
  parameters.delete("rows");
  return { name, filters: parameters.toString() };
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Blob([await new Response(stream).arrayBuffer()], { type: "text/html" });
}

/** Removes the fragment from the address without scrolling. */
function forget() {
  history.replaceState(null, "", location.pathname + location.search);
}

dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", forget);
addEventListener("hashchange", show);
show();
