// Metadata: names in lower case, values as text, or as octets where the name ends with `-bin`.

/** What a server sent. A name may occur more than once; the order is the server's. */
export class Metadata {
  #entries;

  constructor(entries = []) {
    this.#entries = entries;
  }

  /** The first value of that name; undefined: there is none. */
  get(name) {
    const own = name.toLowerCase();
    return this.#entries.find((entry) => entry[0] === own)?.[1];
  }

  /** All values of that name. */
  getAll(name) {
    const own = name.toLowerCase();
    return this.#entries.filter((entry) => entry[0] === own).map((entry) => entry[1]);
  }

  has(name) {
    return this.get(name) !== undefined;
  }

  *[Symbol.iterator]() {
    for (const [name, value] of this.#entries) yield [name, value];
  }

  toJSON() {
    return this.#entries.map(([name, value]) => [name, typeof value === 'string' ? value : Array.from(value)]);
  }
}

const encoder = new TextEncoder();

/** What `fetch` says itself. Node's fails for others' words, which would look like a lost endpoint. */
const OF_FETCH = ['content-length', 'expect'];

/**
 * Packs metadata to send as the core reads it: two octets each for the lengths of name and value, then both. `where`
 * names it in errors. Gives the octets and the names, so that the core can tell which one it refuses.
 */
export function pack(metadata, where) {
  if (metadata === undefined || metadata === null) return { octets: new Uint8Array(0), names: [] };
  if (typeof metadata !== 'object') {
    throw new TypeError(`${where}: expected an object or entries of names and values, not ${typeof metadata}`);
  }
  const entries = typeof metadata[Symbol.iterator] === 'function' ? metadata : Object.entries(metadata);
  const names = [];
  const parts = [];
  let length = 0;
  for (const entry of entries) {
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string') {
      throw new TypeError(`${where}: expected entries of a name and a value`);
    }
    const name = entry[0].toLowerCase();
    if (OF_FETCH.includes(name)) throw new TypeError(`${where}["${name}"]: expected a name that is not HTTP's own`);
    for (const value of Array.isArray(entry[1]) ? entry[1] : [entry[1]]) {
      const octets = valueOctets(name, value, where);
      const nameOctets = encoder.encode(name);
      if (nameOctets.length > 0xffff || octets.length > 0xffff) {
        throw new TypeError(`${where}[${JSON.stringify(name)}]: expected at most 65535 octets`);
      }
      names.push(name);
      parts.push(nameOctets, octets);
      length += 4 + nameOctets.length + octets.length;
    }
  }
  const octets = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < parts.length; i += 2) {
    const [name, value] = [parts[i], parts[i + 1]];
    octets.set([name.length >> 8, name.length & 255, value.length >> 8, value.length & 255], at);
    octets.set(name, at + 4);
    octets.set(value, at + 4 + name.length);
    at += 4 + name.length + value.length;
  }
  return { octets, names };
}

function valueOctets(name, value, where) {
  if (name.endsWith('-bin')) {
    if (value instanceof Uint8Array) return value;
    throw new TypeError(`${where}[${JSON.stringify(name)}]: expected a Uint8Array, as the name ends with -bin`);
  }
  if (typeof value === 'string') return encoder.encode(value);
  throw new TypeError(`${where}[${JSON.stringify(name)}]: expected a string`);
}

/** One after the other. */
export function joined(a, b) {
  if (a.names.length === 0) return b;
  if (b.names.length === 0) return a;
  const octets = new Uint8Array(a.octets.length + b.octets.length);
  octets.set(a.octets);
  octets.set(b.octets, a.octets.length);
  return { octets, names: [...a.names, ...b.names] };
}
