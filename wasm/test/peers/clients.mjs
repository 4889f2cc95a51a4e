// Our package, the official runtime and connect-web in one form, so that the same cases try them all. Node and browsers.
//
// A client has `unary(method, text, {metadata, timeoutMs, signal})` -> {text, headers, trailers}, whose values are read by `get`,
// and `stream(method, text, options)`, an async iterable of texts. What they throw is {code, message, details, why}.

export const SERVICE = 'grpclb.test.Web'

/** `grpclb.test.Text`, by hand: one string, field 1. */
export function encode(text) {
  const bytes = new TextEncoder().encode(text)
  const length = []
  for (let n = bytes.length; length.push(n > 127 ? (n & 127) | 128 : n), n > 127; n >>>= 7);
  return bytes.length ? new Uint8Array([10, ...length, ...bytes]) : new Uint8Array()
}

export function decode(bytes) {
  if (bytes.length === 0) return ''
  let at = 1
  while (bytes[at] & 128) at++
  return new TextDecoder().decode(bytes.subarray(at + 1))
}

const fromBase64 = (text) => text && Uint8Array.from(atob(text), (char) => char.charCodeAt(0))

/** Our package, as `make wasm` built it. */
export async function grpclb(base, format) {
  const { GrpcWebChannel } = await import(globalThis.window ? 'grpclb' : new URL('../../../target/wasm/pkg/index.js', import.meta.url))
  const channel = new GrpcWebChannel({ endpoints: [base], format })
  const told = ({ code, message, details, trailers }) => ({ code, message, details, why: trailers?.get('x-why') })
  return {
    async unary(method, text, options) {
      try {
        const { message, headers, trailers } = await channel.unary(`/${SERVICE}/${method}`, encode(text), options)
        return { text: decode(message), headers, trailers }
      } catch (error) {
        throw told(error)
      }
    },
    async *stream(method, text, options) {
      try {
        for await (const message of channel.serverStreaming(`/${SERVICE}/${method}`, encode(text), options)) yield decode(message)
      } catch (error) {
        throw told(error)
      }
    },
  }
}

/** grpc-web (npm), the official runtime, with a descriptor made by hand. Node needs `globalThis.XMLHttpRequest`. */
export async function grpcWeb(base, format) {
  const module = await import('grpc-web')
  const { GrpcWebClientBase, MethodDescriptor } = module.default ?? module
  const client = new GrpcWebClientBase({ format })
  const describe = (method, kind) => new MethodDescriptor(`/${SERVICE}/${method}`, kind, Object, Object, encode, decode)
  const metadata = ({ metadata, timeoutMs }) => ({ ...metadata, ...(timeoutMs && { deadline: String(Date.now() + timeoutMs) }) })
  const told = ({ code, message, metadata = {} }) =>
    ({ code, message, details: fromBase64(metadata['grpc-status-details-bin']), why: metadata['x-why'] })
  const map = (fields = {}) => ({ get: (name) => fields[name] ?? null })
  return {
    unary: (method, text, options = {}) =>
      new Promise((resolve, reject) => {
        let headers, trailers, answer
        const call = client.rpcCall(`${base}/${SERVICE}/${method}`, text, metadata(options), describe(method, 'unary'), (error, text) => {
          if (error) reject(told(error))
          else answer = text
        })
        call.on('metadata', (fields) => (headers = fields))
        call.on('status', (status) => (trailers = status.metadata))
        call.on('end', () => resolve({ text: answer, headers: map(headers), trailers: map(trailers) }))
        // After cancel() the official runtime says nothing more.
        options.signal?.addEventListener('abort', () => (call.cancel(), reject({ code: 1, message: 'cancelled' })))
      }),
    async *stream(method, text, options = {}) {
      const call = client.serverStreaming(`${base}/${SERVICE}/${method}`, text, metadata(options), describe(method, 'server_streaming'))
      const ready = []
      let wake
      const tell = (item) => (ready.push(item), wake?.())
      call.on('data', (text) => tell({ text }))
      call.on('error', (error) => tell({ error: told(error) }))
      call.on('end', () => tell({ end: true }))
      options.signal?.addEventListener('abort', () => (call.cancel(), tell({ error: { code: 1, message: 'cancelled' } })))
      try {
        for (;;) {
          while (!ready.length) await new Promise((resolve) => (wake = resolve))
          const { text, error, end } = ready.shift()
          if (error) throw error
          if (end) return
          yield text
        }
      } finally {
        call.cancel()
      }
    },
  }
}

/** @connectrpc/connect-web; `descriptors` is what protoc makes of web.proto. */
export async function connectWeb(base, format, descriptors) {
  const { createFileRegistry, fromBinary } = await import('@bufbuild/protobuf')
  const { FileDescriptorSetSchema, AnySchema } = await import('@bufbuild/protobuf/wkt')
  const { createClient, ConnectError } = await import('@connectrpc/connect')
  const { createGrpcWebTransport } = await import('@connectrpc/connect-web')
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors))
  const client = createClient(registry.getService(SERVICE), createGrpcWebTransport({ baseUrl: base }))
  const named = (method) => client[method[0].toLowerCase() + method.slice(1)]
  const told = (thrown) => {
    const error = ConnectError.from(thrown)
    return { code: error.code, message: error.rawMessage, details: fromBase64(error.metadata.get('grpc-status-details-bin')),
      why: error.metadata.get('x-why'), first: error.details[0]?.type ?? AnySchema.typeName }
  }
  const options = ({ metadata, timeoutMs, signal }) => ({ headers: metadata, timeoutMs, signal })
  return {
    async unary(method, text, more = {}) {
      let headers, trailers
      try {
        const answer = await named(method)({ text }, { ...options(more), onHeader: (h) => (headers = h), onTrailer: (t) => (trailers = t) })
        return { text: answer.text, headers, trailers }
      } catch (error) {
        throw told(error)
      }
    },
    async *stream(method, text, more = {}) {
      try {
        for await (const answer of named(method)({ text }, options(more))) yield answer.text
      } catch (error) {
        throw told(error)
      }
    },
  }
}
