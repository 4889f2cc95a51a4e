// What users hand in, checked: a TypeError names the field and says what was expected.

export function expected(field, what, value) {
  let shown;
  try {
    shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  } catch {
    shown = typeof value;
  }
  return new TypeError(`${field}: expected ${what}, not ${shown.length > 80 ? `${shown.slice(0, 77)}…` : shown}`);
}

export function known(field, options, names) {
  if (options === null || typeof options !== 'object') throw expected(field, 'an object', options);
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) {
      throw new TypeError(`${field}.${name}: unknown; expected one of ${names.join(', ')}`);
    }
  }
}

export function choice(field, value, among, otherwise) {
  if (value === undefined && otherwise !== undefined) return otherwise;
  if (!among.includes(value)) throw expected(field, among.map((one) => JSON.stringify(one)).join(' or '), value);
  return value;
}

/** Without `otherwise` there must be one; so it is with `choice` and `flag`. */
export function whole(field, value, least, most, otherwise) {
  if (value === undefined && otherwise !== undefined) return otherwise;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw expected(field, `a whole number from ${least} to ${most}`, value);
  }
  return value;
}

export function flag(field, value, otherwise) {
  if (value === undefined && otherwise !== undefined) return otherwise;
  if (typeof value !== 'boolean') throw expected(field, 'a boolean', value);
  return value;
}

/** Milliseconds; Infinity: none. */
export function millis(field, value) {
  if (value === undefined) return Infinity;
  if (typeof value !== 'number' || Number.isNaN(value)) throw expected(field, 'a number of milliseconds', value);
  return value;
}

export function signal(field, value) {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'object' || typeof value.aborted !== 'boolean' || typeof value.addEventListener !== 'function') {
    throw expected(field, 'an AbortSignal', value);
  }
  return value;
}

const LARGEST = 0xffff_ffff;

/** `url` or `{ url, weight }`: the base that methods' paths are put behind. */
export function endpoint(field, value) {
  const { url, weight } = typeof value === 'object' && value !== null && !(value instanceof URL) ? value : { url: value };
  if (typeof value === 'object' && value !== null && !(value instanceof URL)) known(field, value, ['url', 'weight']);
  return { ...base(field, url), weight: whole(`${field}.weight`, weight, 0, LARGEST, 1) };
}

/** The base URL, and what the balancer knows it by: `ip:port` where that says it all, so that weights can name it. */

function base(field, text) {
  const what = 'an http or https URL without user, query and fragment';
  if (typeof text !== 'string' && !(text instanceof URL)) throw expected(field, what, text);
  let url;
  try {
    // In a page, relative to it.
    url = new URL(text, globalThis.location?.href);
  } catch {
    throw expected(field, what, text);
  }
  const plain = url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  if (!plain || (url.protocol !== 'http:' && url.protocol !== 'https:')) throw expected(field, what, text);
  const href = url.href.replace(/\/+$/, '');
  const ip = /^(\d+\.\d+\.\d+\.\d+|\[(?!::ffff:)[^\]]+\])$/.test(url.hostname) && url.pathname === '/';
  const port = url.port || (url.protocol === 'http:' ? 80 : 443);
  return { url: href, address: ip ? `${url.hostname}:${port}` : href };
}

/** A `fetch` of the application's that is none. */
export class NoResponse extends TypeError {}

export function response(value) {
  if (Number.isInteger(value?.status) && typeof value.headers?.[Symbol.iterator] === 'function') return value;
  const error = new NoResponse(expected('fetch', 'a Response', value).message);
  error.name = 'TypeError';
  throw error;
}

/** A method's path. */
export function path(value) {
  // Nothing that a URL would take for something else: `\`, `..`, `%2e%2e`.
  if (typeof value !== 'string' || !/^(\/(?!\.\.?(\/|$))[!$&-.0-;=@-Z_a-z~]+){2}$/.test(value)) {
    throw expected('method', 'a path like "/package.Service/Method"', value);
  }
  return value;
}

export function message(value) {
  if (!(value instanceof Uint8Array)) throw expected('message', 'a Uint8Array', value);
  return value;
}
