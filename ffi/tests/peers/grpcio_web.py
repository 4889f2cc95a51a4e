"""grpcio as the backend of web clients: `helloworld.Greeter` and `grpclb.test.Web` (web.proto). Ends when it is killed."""

import sys
import threading
from collections import defaultdict
from concurrent import futures

from harness import messages

messages()  # before these can be imported
import grpc
import helloworld_pb2
import helloworld_pb2_grpc
import web_pb2
import web_pb2_grpc
from google.protobuf import any_pb2


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        return helloworld_pb2.HelloReply(message=f"Hello {request.name} from {context.peer()}")


class Web(web_pb2_grpc.WebServicer):
    def __init__(self):
        self.goes = defaultdict(lambda: threading.Semaphore(0))
        self.cancelled = set()

    def Say(self, request, context):
        for key, value in context.invocation_metadata():
            if key == "x-echo":
                context.send_initial_metadata([("x-echo", value)])
                context.set_trailing_metadata([("x-echo-bin", value.encode())])
        return request

    def Fail(self, request, context):
        message = "50 % of ☺ left"
        why = any_pb2.Any()
        why.Pack(web_pb2.Text(text="why"))
        details = web_pb2.Details(code=9, message=message, details=[why])
        context.set_trailing_metadata(
            [("grpc-status-details-bin", details.SerializeToString()), ("x-why", "trailer")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)

    def Break(self, request, context):
        yield web_pb2.Text(text="1")
        self.Fail(request, context)

    def Count(self, request, context):
        yield web_pb2.Text(text="1")
        for number in "23":
            self.goes[request.text].acquire(timeout=30)
            yield web_pb2.Text(text=number)

    def Go(self, request, context):
        self.goes[request.text].release()
        return web_pb2.Text()

    def Hang(self, request, context):
        # Noted before the first message leaves: who reads it may cancel at once.
        over = self.over(request, context)
        yield web_pb2.Text(text="1")
        over.wait()

    def HangUnary(self, request, context):
        self.over(request, context).wait()
        return web_pb2.Text()

    def over(self, request, context):
        over = threading.Event()

        def end():
            self.cancelled.add(request.text)
            over.set()

        if not context.add_callback(end):
            end()
        return over

    def Cancelled(self, request, context):
        return web_pb2.Text(text="yes" if request.text in self.cancelled else "no")


server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
web_pb2_grpc.add_WebServicer_to_server(Web(), server)
port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1] if sys.argv[1:] else 0}")
server.start()
print(f"listening on 127.0.0.1:{port}", flush=True)
server.wait_for_termination()
