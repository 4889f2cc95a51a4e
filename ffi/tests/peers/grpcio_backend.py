"""A Greeter server of Python's grpcio. Says `called` at the first call; SIGTERM: says when each came, and ends."""

import argparse
import json
import signal
import threading
import time
from concurrent import futures

import grpc
import helloworld_pb2
import helloworld_pb2_grpc


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    def __init__(self, name, delay):
        self.name, self.delay, self.times = name, delay, []

    def SayHello(self, request, context):
        if not self.times:
            print("called", flush=True)
        self.times.append(time.monotonic())
        if self.delay:
            time.sleep(self.delay)
        return helloworld_pb2.HelloReply(message=f"Hello {request.name} from {self.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="grpcio")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0)
    args = parser.parse_args()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    greeter = Greeter(args.name, args.delay_ms / 1000)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    helloworld_pb2_grpc.add_GreeterServicer_to_server(greeter, server)
    port = server.add_insecure_port(f"127.0.0.1:{args.port}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    stop.wait()
    server.stop(None).wait()
    print("calls at " + json.dumps(greeter.times), flush=True)


main()
