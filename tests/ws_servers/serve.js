// A WebSocket server that sends messages back, by the package `ws`. It prints its port, and ends with its standard input. The
// text "close" makes it close with 4001.
"use strict";

const { WebSocketServer } = require("ws");

const server = new WebSocketServer(
    { host: "127.0.0.1", port: 0, maxPayload: 0, perMessageDeflate: { threshold: 0 } },
    () => console.log(server.address().port),
);

server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => {
        if (!isBinary && data.toString() === "close") {
            socket.close(4001, "bye");
        } else {
            socket.send(data, { binary: isBinary });
        }
    });
});

process.stdin.on("end", () => process.exit()).resume();
