// The package with the module in it, started at once.

import { initSync } from './lib/module.js';
import text from './lib/inline.js';

const octets = Uint8Array.fromBase64
  ? Uint8Array.fromBase64(text)
  : Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
initSync(octets);

export { GrpcWebChannel } from './lib/channel.js';
export { Metadata } from './lib/metadata.js';
export { Picker } from './lib/picker.js';
export { GrpcError, Status } from './lib/status.js';
