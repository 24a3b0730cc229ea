// The page works without this file: it only groups digits and fills the form without a reload.
const number = document.getElementById("number");
const expiry = document.getElementById("expiry");
const cvc = document.getElementById("cvc");
const digits = (text, most) => text.replace(/\D/g, "").slice(0, most);

function grouped(text) {
  return digits(text, 16).replace(/(.{4})(?=.)/g, "$1 ");
}

function dated(text, erasing) {
  const date = digits(text, 4);
  return date.length > 2 || (date.length === 2 && !erasing) ? date.slice(0, 2) + "/" + date.slice(2) : date;
}

if (number) {
  number.value = grouped(number.value);
  // Only a caret at the end may move: editing in the middle stays as typed.
  number.addEventListener("input", () => {
    if (number.selectionStart === number.value.length) number.value = grouped(number.value);
  });
  expiry.addEventListener("input", (event) => {
    const erasing = (event.inputType || "").startsWith("delete");
    if (expiry.selectionStart === expiry.value.length) expiry.value = dated(expiry.value, erasing);
  });
  cvc.addEventListener("input", () => { cvc.value = digits(cvc.value, 3); });
  const chosen = document.getElementById("chosen");
  for (const chip of document.querySelectorAll("[data-card]")) {
    chip.addEventListener("click", (event) => {
      event.preventDefault();
      number.value = grouped(chip.dataset.card);
      expiry.value = "12/30";
      cvc.value = "123";
      document.querySelector(".chip[aria-current]")?.removeAttribute("aria-current");
      chip.setAttribute("aria-current", "true");
      chosen.textContent = `${chosen.dataset.text}: ${chip.textContent.trim()}`;
      const go = document.querySelector("#card-form .go");
      go.scrollIntoView({ block: "nearest" });
      go.focus({ preventScroll: true });
    });
  }
}
