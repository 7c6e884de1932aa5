"""Python's WebSocket clients, in the terms of scenario.py."""
import asyncio
import contextlib
import ssl
import struct
import threading
import time

from scenario import Closed


class Library:
    def __init__(self, url, certificate):
        self.url = url.replace("http", "ws", 1)
        self.context = ssl.create_default_context(cafile=certificate) if certificate else None

    def answers_ping(self):
        return self.connect("ws", None).answers_ping()


class WebsocketsSync(Library):
    """`websockets`, one thread."""

    def connect(self, path, subprotocol):
        from websockets.sync.client import connect
        # Its own pings would keep the connection; the server's are to.
        connecting = connect(self.url + path, ssl=self.context, ping_interval=None, proxy=None,
                             subprotocols=[subprotocol] if subprotocol else None)
        return WebsocketsSyncPeer(contextlib.ExitStack().enter_context(connecting))


class WebsocketsSyncPeer:
    def __init__(self, socket):
        self.socket = socket
        self.subprotocol = socket.subprotocol
        self.is_compressed = bool(socket.protocol.extensions)

    @contextlib.contextmanager
    def told(self):
        from websockets.exceptions import ConnectionClosed
        try:
            yield
        except ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd else 1006) from closed

    def send(self, data):
        with self.told():
            self.socket.send(data)

    send_binary = send

    def receive(self, seconds):
        with self.told():
            return self.socket.recv(timeout=seconds)

    def answers_ping(self):
        return self.socket.ping().wait(10)

    def close(self):
        self.socket.close()
        return self.socket.close_code


class InLoop:
    """An event loop of its own, which runs on while nobody waits for it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine, seconds=20):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)


class WebsocketsAsyncio(Library, InLoop):
    """`websockets`, asyncio."""

    def __init__(self, url, certificate):
        Library.__init__(self, url, certificate)
        InLoop.__init__(self)

    def connect(self, path, subprotocol):
        from websockets.asyncio.client import connect

        async def connected():
            return await connect(self.url + path, ssl=self.context, ping_interval=None, proxy=None,
                                 subprotocols=[subprotocol] if subprotocol else None)

        return WebsocketsAsyncioPeer(self, self.run(connected()))


class WebsocketsAsyncioPeer(WebsocketsSyncPeer):
    def __init__(self, library, socket):
        WebsocketsSyncPeer.__init__(self, socket)
        self.library = library

    def send(self, data):
        with self.told():
            self.library.run(self.socket.send(data))

    send_binary = send

    def receive(self, seconds):
        with self.told():
            return self.library.run(asyncio.wait_for(self.socket.recv(), seconds), seconds + 5)

    def answers_ping(self):
        async def ponged():
            return await asyncio.wait_for(await self.socket.ping(), 10)
        return self.library.run(ponged()) is not None

    def close(self):
        self.library.run(self.socket.close())
        return self.socket.close_code


class WebsocketClient(Library):
    """`websocket-client`."""

    def connect(self, path, subprotocol):
        import websocket
        options = {"context": self.context} if self.context else None
        return WebsocketClientPeer(websocket.create_connection(
            self.url + path, timeout=10, sslopt=options,
            subprotocols=[subprotocol] if subprotocol else None))


class WebsocketClientPeer:
    is_compressed = False

    def __init__(self, socket):
        self.socket = socket
        self.subprotocol = socket.subprotocol

    def send(self, text):
        try:
            self.socket.send(text)
        except OSError as error:
            raise Closed(1006) from error

    def send_binary(self, data):
        self.socket.send_binary(data)

    def frame(self, seconds):
        import websocket
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError from error
        except (websocket.WebSocketConnectionClosedException, OSError) as error:
            raise Closed(1006) from error

    def receive(self, seconds):
        import websocket
        deadline = time.monotonic() + seconds
        while True:
            opcode, frame = self.frame(max(0.01, deadline - time.monotonic()))
            if opcode == websocket.ABNF.OPCODE_TEXT:
                return frame.data.decode()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.socket.shutdown()
                raise Closed(struct.unpack("!H", frame.data[:2])[0])

    def answers_ping(self):
        import websocket
        self.socket.ping(b"vital?")
        while True:
            opcode, frame = self.frame(10)
            if opcode == websocket.ABNF.OPCODE_PONG:
                return frame.data == b"vital?"

    def close(self):
        # Its close() does not give the code that comes back.
        self.socket.send_close(1000)
        try:
            while True:
                self.receive(10)
        except Closed as closed:
            return closed.code


class Aiohttp(Library, InLoop):
    """`aiohttp`."""

    def __init__(self, url, certificate):
        Library.__init__(self, url, certificate)
        InLoop.__init__(self)
        self.session = self.run(self.new_session())

    async def new_session(self):
        import aiohttp
        return aiohttp.ClientSession()

    def connect(self, path, subprotocol, autoping=True):
        # Compression is off unless asked for.
        return AiohttpPeer(self, self.run(self.session.ws_connect(
            self.url + path, protocols=[subprotocol] if subprotocol else [], compress=15,
            ssl=self.context or True, autoping=autoping)))

    def answers_ping(self):
        import aiohttp
        socket = self.connect("ws", None, autoping=False).socket
        self.run(socket.ping(b"vital?"))
        while True:
            message = self.run(socket.receive(10))
            if message.type == aiohttp.WSMsgType.PONG:
                return message.data == b"vital?"
            assert message.type == aiohttp.WSMsgType.TEXT, message


class AiohttpPeer:
    def __init__(self, library, socket):
        self.run = library.run
        self.socket = socket
        self.receiving = None
        self.subprotocol = socket.protocol
        self.is_compressed = bool(socket.compress)

    def send(self, text):
        try:
            self.run(self.socket.send_str(text))
        except OSError as error:
            raise Closed(1006) from error

    def send_binary(self, data):
        self.run(self.socket.send_bytes(data))

    async def received(self, seconds):
        # After a receive() that was broken off not even the code of the close can be had; and the
        # time that it takes for itself begins anew with each ping.
        self.receiving = self.receiving or asyncio.ensure_future(self.socket.receive())
        done, _ = await asyncio.wait({self.receiving}, timeout=seconds)
        if not done:
            raise TimeoutError("no message")
        receiving, self.receiving = self.receiving, None
        return receiving.result()

    def receive(self, seconds):
        import aiohttp
        message = self.run(self.received(seconds), seconds + 5)
        if message.type == aiohttp.WSMsgType.TEXT:
            return message.data
        # Once the server has gone the socket's own code is that its answer could not be sent.
        is_close = message.type == aiohttp.WSMsgType.CLOSE
        raise Closed(int(message.data if is_close else self.socket.close_code))

    def close(self):
        self.run(self.socket.close())
        return self.socket.close_code


LIBRARIES = {
    "websockets-sync": WebsocketsSync,
    "websockets-asyncio": WebsocketsAsyncio,
    "websocket-client": WebsocketClient,
    "aiohttp": Aiohttp,
}
