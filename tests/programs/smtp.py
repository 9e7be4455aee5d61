"""A mail server as far as STARTTLS goes (RFC 5321, RFC 3207), secured by OpenSSL. Prints its port, and ends with its standard
input. Its second word of the command line says whether it offers STARTTLS, for which it has the chain in the first."""

import contextlib
import socket
import ssl
import sys
import threading


def serve(client: socket.socket, context: ssl.SSLContext, offers: bool) -> None:
    lines = client.makefile("rb")
    client.sendall(b"220 mail.test here\r\n")
    secured = False
    while line := lines.readline():
        word = line.strip().upper()
        if word.startswith(b"EHLO"):
            extra = b"250-STARTTLS\r\n" if offers and not secured else b"250-SMTPUTF8\r\n"
            # A reply in two pieces.
            client.sendall(b"250-mail.test\r\n" + extra[:7])
            client.sendall(extra[7:] + b"250 HELP\r\n")
        elif word == b"STARTTLS" and offers and not secured:
            client.sendall(b"220 go\r\n")
            client = context.wrap_socket(client, server_side=True)
            lines, secured = client.makefile("rb"), True
        elif word == b"QUIT":
            client.sendall(b"221 bye\r\n")
            break
        else:
            client.sendall(b"500 what?\r\n")
    client.close()


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)

    def attend(client: socket.socket, context: ssl.SSLContext) -> None:
        # A client that does not trust the certificate leaves in the handshake.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            serve(client, context, sys.argv[2] == "starttls")

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=attend, args=(client, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
