"use strict";
const search = document.querySelector("#search"), boxes = [...document.querySelectorAll(".tools input[type=checkbox]")];
const files = [...document.querySelectorAll("details.file")], none = document.querySelector("#none");

function filter() {
  const text = search.value.toLowerCase(), wanted = new Set(boxes.filter(b => b.checked).map(b => b.value));
  let any = false;
  for (const file of files) {
    const whole = file.dataset.name.toLowerCase().includes(text), tests = [...file.querySelectorAll(".test")];
    let shown = 0;
    for (const test of tests) {
      const show = wanted.has(test.dataset.status) && (whole || test.dataset.name.toLowerCase().includes(text));
      test.hidden = !show;
      shown += show;
    }
    const empty = !tests.length || file.dataset.problem;
    file.hidden = !(shown || (empty && whole && wanted.has(file.dataset.status)));
    any = any || !file.hidden;
  }
  none.hidden = any;
}

function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target) { target.hidden = false; target.open = true; target.scrollIntoView(); }
}

search.addEventListener("input", filter);
for (const box of boxes) box.addEventListener("change", filter);
addEventListener("hashchange", open);
filter();
open();
