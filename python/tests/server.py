"""A grpcio server of grpc.testing.TestService and of helloworld.Greeter.

Metadata that is sent to it comes back: names that begin with `initial-` at the start, `trailing-` at the end. `sleep-ms` makes
it wait first. A `response_status` ends a call with that status and with `grpc-status-details-bin`.
"""

import argparse
import time
from concurrent import futures

import grpc
import helloworld_pb2
import helloworld_pb2_grpc
import testing_pb2 as pb
import testing_pb2_grpc


def begin(context):
    came = context.invocation_metadata()
    context.send_initial_metadata([(key, value) for key, value in came if key.startswith("initial-")])
    context.set_trailing_metadata([(key, value) for key, value in came if key.startswith("trailing-")])
    time.sleep(next((int(value) / 1000 for key, value in came if key == "sleep-ms"), 0))


def end(context, status):
    if status.code:
        details = (("grpc-status-details-bin", b"\x00details\xff"), ("trailing-own", "own"))
        context.set_trailing_metadata(details)
        context.abort(next(code for code in grpc.StatusCode if code.value[0] == status.code), status.message)


class Service(testing_pb2_grpc.TestServiceServicer):
    def EmptyCall(self, request, context):
        begin(context)
        return pb.Empty()

    def UnaryCall(self, request, context):
        begin(context)
        end(context, request.response_status)
        body = request.payload.body or bytes(request.response_size)
        return pb.SimpleResponse(payload=pb.Payload(body=body))

    def StreamingOutputCall(self, request, context):
        begin(context)
        yield from self.bodies(request, context)
        end(context, request.response_status)

    def StreamingInputCall(self, requests, context):
        begin(context)
        total = sum(len(request.payload.body) for request in requests)
        return pb.StreamingInputCallResponse(aggregated_payload_size=total)

    def FullDuplexCall(self, requests, context):
        begin(context)
        for request in requests:
            end(context, request.response_status)
            yield from self.bodies(request, context)

    def bodies(self, request, context):
        for one in request.response_parameters:
            time.sleep(one.interval_us / 1e6)
            if not context.is_active():
                return
            yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(one.size)))


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        return helloworld_pb2.HelloReply(message=f"Hello {request.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=limits)
    testing_pb2_grpc.add_TestServiceServicer_to_server(Service(), server)
    helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
    port = server.add_insecure_port(f"127.0.0.1:{args.port}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


main()
