// Command lines of the example programs: `--flag value`, `--flag=value` and Go's `-flag=value`, as in the other languages.

/** One line on standard error, exit code 2. */
export function fail(program, words) {
  console.error(`${program}: ${words}`.replace(/\s*\n\s*/g, ' '));
  process.exit(2);
}

/**
 * `flags`: name -> [placeholder (null: a switch), help, default]. A default of undefined: the flag may be left out; of
 * null: it must be given. Gives { name: text or boolean }.
 */
export function parse(program, about, flags, argv) {
  const given = {};
  for (const [name, [, , otherwise]] of Object.entries(flags)) given[name] = otherwise;
  const rest = [...argv];
  while (rest.length > 0) {
    const word = rest.shift();
    const match = /^--?([^=]+)(?:=([^]*))?$/.exec(word);
    if (!match) fail(program, `unexpected operand ${word}`);
    const [, name, inline] = match;
    if (name === 'help' || name === 'h') help(program, about, flags);
    if (!Object.hasOwn(flags, name)) fail(program, `unknown flag --${name} (--help lists the flags)`);
    const [placeholder] = flags[name];
    if (placeholder === null) {
      if (![undefined, 'true', 'false'].includes(inline)) fail(program, `--${name}=${inline}: expected true or false`);
      given[name] = inline !== 'false';
    } else if (inline !== undefined) given[name] = inline;
    else if (rest.length === 0) fail(program, `--${name} needs a value: --${name} ${placeholder}`);
    else given[name] = rest.shift();
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === null) fail(program, `--${name} ${flags[name][0]} is missing (--help explains)`);
  }
  return given;
}

/** A whole number of a flag. */
export function number(program, name, text, most = 2 ** 53 - 1) {
  if (text === undefined) return undefined;
  if (!/^\d{1,16}$/.test(text) || Number(text) > most) fail(program, `--${name} ${text}: expected a whole number up to ${most}`);
  return Number(text);
}

function help(program, about, flags) {
  const left = Object.entries(flags).map(([name, [placeholder]]) => `--${name}${placeholder ? ` ${placeholder}` : ''}`);
  const wide = Math.max(...left.map((text) => text.length));
  const lines = Object.values(flags).map(
    ([, text, otherwise], i) => `  ${left[i].padEnd(wide)}  ${text}${typeof otherwise === 'string' ? ` (${otherwise})` : ''}`,
  );
  process.stdout.write(`${program}: ${about}\n\n${lines.join('\n')}\n`);
  process.exit(0);
}
