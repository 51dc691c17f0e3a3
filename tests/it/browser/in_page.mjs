// What is looked at inside a page. Each function is sent to the browser by its text, so that it uses nothing from around it; each
// returns what is wrong, a sentence each.

/** Nothing is cut, hangs over the edge of its box or of the window, or lies on something else. */
export function layout() {
  const wrong = [];
  const { clientWidth: width, scrollWidth } = document.documentElement;
  if (scrollWidth > width) {
    wrong.push(`the page is ${scrollWidth} wide in a window of ${width}: it scrolls sideways`);
  }
  const name = (element) => `<${element.tagName.toLowerCase()}${element.className ? ` class="${element.getAttribute('class')}"` : ''}>`;
  const isScroller = (element) => ['auto', 'scroll'].includes(getComputedStyle(element).overflowX);
  const scrollerOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      if (at !== document.body && at !== document.documentElement && isScroller(at)) {
        return at;
      }
    }
    return null;
  };
  // What only a screen reader tells has no place in the window.
  const isUnseen = (element) => {
    for (let at = element; at; at = at.parentElement) {
      if (getComputedStyle(at).clipPath === 'inset(50%)') {
        return true;
      }
    }
    return false;
  };
  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('svg') || isUnseen(element)) {
      continue;
    }
    const isWider = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
    if (isWider && ['hidden', 'clip'].includes(getComputedStyle(element).overflowX)) {
      wrong.push(`${name(element)} cuts what is in it: ${element.textContent.trim().slice(0, 60)}`);
    }
    if (isWider && isScroller(element) && element.tabIndex < 0) {
      wrong.push(`${name(element)} scrolls, but no key reaches it`);
    }
  }
  // Where each piece of text is drawn, line by line.
  const pieces = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    if (!node.data.trim() || !node.parentElement.checkVisibility() || isUnseen(node.parentElement)) {
      continue;
    }
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = ['th, td', 'pre', 'section, article, nav, footer, header, main'].map((of) => node.parentElement.closest(of));
    const scroller = scrollerOf(node.parentElement);
    for (const rect of range.getClientRects()) {
      if (rect.width < 1) {
        continue;
      }
      const text = node.data.trim().slice(0, 60);
      if (!scroller && (rect.left < -1 || rect.right > width + 1)) {
        wrong.push(`text leaves the window (${Math.round(rect.left)} to ${Math.round(rect.right)} of ${width}): ${text}`);
      }
      for (const box of boxes) {
        // What scrolls in a box may be wider than that.
        const { left, right } = box && !(scroller && box.contains(scroller)) ? box.getBoundingClientRect() : rect;
        if (rect.left < left - 1 || rect.right > right + 1) {
          wrong.push(`text leaves its <${box.tagName.toLowerCase()}> by ${Math.round(Math.max(rect.right - right, left - rect.left))}: ${text}`);
        }
      }
      pieces.push({ node, text, left: rect.left, right: rect.right, top: rect.top, bottom: rect.bottom });
    }
  }
  for (const svg of document.querySelectorAll('svg')) {
    const rect = svg.getBoundingClientRect();
    pieces.push({ node: svg, text: 'a picture', left: rect.left, right: rect.right, top: rect.top, bottom: rect.bottom });
    const frame = svg.viewBox.baseVal;
    const drawn = svg.getBBox();
    if (drawn.width > 0 && (drawn.x < frame.x || drawn.y < frame.y || drawn.x + drawn.width > frame.x + frame.width || drawn.y + drawn.height > frame.y + frame.height)) {
      wrong.push(`a picture draws outside its frame: ${svg.outerHTML.slice(0, 200)}`);
    }
  }
  pieces.sort((a, b) => a.top - b.top);
  pieces.forEach((piece, at) => {
    for (let next = at + 1; next < pieces.length && pieces[next].top < piece.bottom; next += 1) {
      const other = pieces[next];
      const across = Math.min(piece.right, other.right) - Math.max(piece.left, other.left);
      // Letters stand well inside the box of their line.
      const down = (Math.min(piece.bottom, other.bottom) - other.top) / Math.min(piece.bottom - piece.top, other.bottom - other.top);
      if (other.node !== piece.node && across > 1 && down > 0.35) {
        wrong.push(`"${piece.text}" and "${other.text}" lie on each other`);
      }
    }
  });
  return [...new Set(wrong)].slice(0, 20);
}

/** What a page of this exporter is made of: no script, nothing that is loaded, and names for what is not text. */
export function markup() {
  const wrong = [];
  const say = (is, sentence) => is && wrong.push(sentence);
  say(document.compatMode !== 'CSS1Compat', 'the page is drawn as in the nineties');
  say(document.scripts.length > 0, 'there is a script');
  say(document.documentElement.lang !== 'en', 'the language is not said');
  say(!document.title.includes('agntix-exporter'), `the title does not say whose page it is: ${document.title}`);
  say(document.querySelectorAll('h1').length !== 1, 'there is not one first heading');
  say(document.querySelectorAll('img, link, iframe, object, embed, form, meta[http-equiv]').length > 0, 'something may be loaded or sent');
  for (const element of document.querySelectorAll('*')) {
    say([...element.attributes].some(({ name }) => name.startsWith('on')), `a script in ${element.outerHTML.slice(0, 100)}`);
  }
  for (const table of document.querySelectorAll('table')) {
    const begin = table.textContent.trim().slice(0, 40);
    const label = table.caption?.textContent ?? document.getElementById(table.getAttribute('aria-labelledby') ?? '')?.textContent ?? '';
    say(!label.trim(), `a table says not what it is: ${begin}`);
    say(table.querySelector('th') === null, `a table has no headings: ${begin}`);
    for (const heading of table.querySelectorAll('th')) {
      say(!['row', 'col', 'rowgroup', 'colgroup'].includes(heading.getAttribute('scope')), `a heading of a table is of neither rows nor columns: ${heading.textContent}`);
    }
  }
  for (const svg of document.querySelectorAll('svg')) {
    say(svg.getAttribute('role') !== 'img' || !(svg.getAttribute('aria-label') ?? '').trim(), 'a picture says not what it shows');
  }
  return [...new Set(wrong)];
}

/** Lines that carry meaning stand out from what is behind them: 3 to 1, as WCAG 2.1 asks in 1.4.11. */
export function lines() {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = channels(colour).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) {
        return colour;
      }
    }
    return 'rgb(255, 255, 255)';
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const wrong = [];
  for (const line of document.querySelectorAll('svg polyline, svg line, svg path, svg rect, svg circle')) {
    const style = getComputedStyle(line);
    const colour = style.stroke === 'none' ? style.fill : style.stroke;
    if (contrast(colour, behind(line)) < 3) {
      wrong.push(`${colour} on ${behind(line)} is too faint for a line: ${line.outerHTML.slice(0, 100)}`);
    }
  }
  const focused = document.activeElement;
  if (focused && focused !== document.body && contrast(getComputedStyle(focused).outlineColor, behind(focused.parentElement)) < 3) {
    wrong.push(`the mark of what has the focus is too faint: ${focused.outerHTML.slice(0, 100)}`);
  }
  return [...new Set(wrong)];
}

/** What the Tab key has to reach, in the order of the document. */
export function controls() {
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')];
  const reached = all.filter((element) => element.tabIndex >= 0 && element.checkVisibility());
  return reached.map((element) => element.textContent.trim().replace(/\s+/g, ' ').slice(0, 40));
}

/** Which control has the focus, and what is wrong with how that is shown; `null` if none has. */
export function focus() {
  const focused = document.activeElement;
  if (!focused || focused === document.body || focused === document.documentElement) {
    return null;
  }
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')];
  const place = all.filter((element) => element.tabIndex >= 0 && element.checkVisibility()).indexOf(focused);
  const [style, rect] = [getComputedStyle(focused), focused.getClientRects()[0]];
  const isMarked = focused.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  const isSeen = rect.bottom > 0 && rect.top < innerHeight && rect.right > 0 && rect.left < innerWidth;
  return { place, isMarked, isSeen, left: rect.left + scrollX, top: rect.top + scrollY, height: rect.height };
}
