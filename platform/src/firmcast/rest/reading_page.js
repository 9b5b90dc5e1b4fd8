"use strict";
// Searches what the page says of each call; without it the page can still be read.
const field = document.getElementById("search");
const entries = [...document.querySelectorAll("[data-words]")];
const groups = [...document.querySelectorAll("[data-group]")];

function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of entries) entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
  for (const group of groups) group.hidden = !group.querySelector("[data-words]:not([hidden])");
  document.body.classList.toggle("none", entries.every((entry) => entry.hidden));
}

function open() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.hidden) {
    field.value = "";
    search();
    target.scrollIntoView();
  }
}

field.addEventListener("input", search);
window.addEventListener("hashchange", open);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
  } else if (event.key === "Escape" && document.activeElement === field) {
    field.value = "";
    search();
  }
});
search();
