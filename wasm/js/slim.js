// The package without the module in it: `await init(…)` or `initSync(…)` first.

export { GrpcWebChannel } from './lib/channel.js';
export { Metadata } from './lib/metadata.js';
export { init, initSync } from './lib/module.js';
export { Picker } from './lib/picker.js';
export { GrpcError, Status } from './lib/status.js';
