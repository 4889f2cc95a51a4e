export * from './index.js';

/**
 * Starts the module, once for all who import it: an application does, a library leaves it to the application.
 * `source` is `grpclb.wasm`: its URL, its Response, its octets, or the compiled module.
 */
export declare function init(
  source: string | URL | Request | Response | BufferSource | WebAssembly.Module | Promise<Response | BufferSource | WebAssembly.Module>,
): Promise<void>;

/** The same, at once. */
export declare function initSync(source: BufferSource | WebAssembly.Module): void;
