/** A service in the clear that answers every request with 1 kB, as cheaply as it can: it is measured by nobody. */
import { createServer } from 'node:net';

const BODY = 'x'.repeat(1_024);
const ANSWER = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
/** Requests have no body, so this ends each of them; it may be cut in two. */
const END = '\r\n\r\n';

const server = createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (octets) => {
    const parts = (rest + octets.toString('latin1')).split(END);
    rest = parts.pop()!.slice(-MAXIMUM_REST);
    for (let left = parts.length; left > 0; left--) socket.write(ANSWER);
  });
});
const MAXIMUM_REST = 65_536;
server.listen(Number(process.argv[2]), '127.0.0.1', () => process.send?.('ready'));
process.on('disconnect', () => process.exit());
