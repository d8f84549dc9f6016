// Dragging is a short cut for the links on the page: a drop opens the question that the link opens.
(() => {
  let held = null;
  const question = (card, place) => {
    if (card.dataset.targets !== undefined) {
      const step = card.dataset.targets.split(" ").map((one) => one.split(":")).find(([to]) => to === place.dataset.drop);
      return step ? card.querySelector(`[data-move="${step[1]}"]`).href : null;
    }
    return `${card.dataset.move}${card.dataset.move.includes("?") ? "&" : "?"}${place.dataset.drop}`;
  };
  document.addEventListener("dragstart", (event) => {
    held = event.target.closest?.("[data-card]") ?? null;
    if (!held) return;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", held.dataset.card);
    document.querySelectorAll("[data-drop]").forEach((place) => {
      place.classList.toggle("takes", question(held, place) !== null && !place.contains(held));
    });
  });
  document.addEventListener("dragover", (event) => {
    if (held && event.target.closest?.(".takes")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const place = event.target.closest?.(".takes");
    if (!held || !place) return;
    event.preventDefault();
    window.location.assign(question(held, place));
  });
  document.addEventListener("dragend", () => {
    held = null;
    document.querySelectorAll(".takes").forEach((place) => place.classList.remove("takes"));
  });
})();
