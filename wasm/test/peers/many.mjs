// Many greetings over one channel, and who answered them. Node and browsers.

/** How many of `calls` calls, `atOnce` at a time, each backend answered, by what the gateway tells in `grpclb-peer`. */
export async function callMany({ GrpcWebChannel }, endpoints, format, calls, atOnce, serviceConfig) {
  const channel = new GrpcWebChannel({ endpoints, format, serviceConfig })
  const peers = {}
  let left = calls
  const caller = async () => {
    while (left-- > 0) {
      const { headers } = await channel.unary('/helloworld.Greeter/SayHello', new Uint8Array([10, 1, 120]), { timeoutMs: 30_000 })
      const peer = headers.get('grpclb-peer')
      peers[peer] = (peers[peer] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: atOnce }, caller))
  channel.close()
  return peers
}
