{
  // Texts that stand out less than WCAG 2.2 AA asks (4.5:1; 3:1 for large ones) from the nearest
  // background below them. What is out of sight or covered by a dialog is not judged.
  faint() {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (css) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
    };
    const over = ([r, g, b, a], below) => [...[r, g, b].map((v, i) => v * a + below[i] * (1 - a)), 1];
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = (element) => {
      if (!element) return [1, 1, 1, 1];
      const own = rgba(getComputedStyle(element).backgroundColor);
      return own[3] === 1 ? own : over(own, ground(element.parentElement));
    };
    const ratio = (element) => {
      const below = ground(element);
      const [a, b] = [light(over(rgba(getComputedStyle(element).color), below)), light(below)];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const enough = (element) => {
      const { fontSize, fontWeight } = getComputedStyle(element);
      const size = parseFloat(fontSize);
      return size >= 24 || (size >= 18.66 && fontWeight >= 700) ? 3 : 4.5;
    };
    const judged = (element) => !element.closest(".sr, .skip, noscript, script, .spoiler, [inert]")
      && element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const faint = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data, parentElement } = texts.currentNode;
      if (!data.trim() || !judged(parentElement)) continue;
      if (ratio(parentElement) < enough(parentElement)) faint.push(`${data.trim()} ${ratio(parentElement).toFixed(2)}`);
    }
    return faint;
  },

  // Things to press or to fill in that have no name for a screen reader.
  nameless() {
    return [...document.querySelectorAll("button, a[href], input, select, textarea, iframe, [role=dialog]")]
      .filter((one) => one.checkVisibility() && !one.closest("[inert]"))
      .filter((one) => !(one.getAttribute("aria-label") || one.getAttribute("aria-labelledby")
        || one.title || one.textContent.trim() || one.labels?.length))
      .map((one) => one.outerHTML.slice(0, 120));
  },
}
