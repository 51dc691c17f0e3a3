// Matchers in PromQL, as far as that needs no more than names, braces and quotes.
local ofNames = {
  [char]: true
  for char in std.stringChars('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:')
};
local nameEnd(text, at=0) = if at < std.length(text) && std.objectHas(ofNames, text[at]) then nameEnd(text, at + 1) else at;
local endsInName(text) = text != '' && std.objectHas(ofNames, text[std.length(text) - 1]);
// A slice would be slower by far.
local from(text, at) = std.substr(text, at, std.length(text) - at);

// `rest` follows a name: the matchers with `selector` before those that there are.
local inserted(rest, selector) =
  if !std.startsWith(rest, '{') then '{' + selector + '}' + rest
  else if std.startsWith(rest, '{}') then '{' + selector + from(rest, 1)
  else '{' + selector + ', ' + from(rest, 1);

// Every name that begins with `start`, or if `whole` is `start`.
local each(text, start, whole, selector) =
  local parts = std.split(text, start);
  local part(number, rest) =
    local before = if number > 1 && parts[number - 1] == '' then start else parts[number - 1];
    local end = nameEnd(rest);
    if number == 0 then rest
    else if endsInName(before) || (whole && end > 0) then start + rest
    else start + std.substr(rest, 0, end) + inserted(from(rest, end), selector);
  std.join('', std.mapWithIndex(part, parts));

{
  // The expression with `selector` in every selector of the exporter's metrics, and of `up`.
  narrowed(expr, selector)::
    // What is between quotes is a text, and stays as it is.
    local part(number, text) =
      if number % 2 == 1 then text
      else each(each(text, 'agntix_', false, selector), 'up', true, selector);
    if selector == '' then expr else std.join('"', std.mapWithIndex(part, std.split(expr, '"'))),
}
