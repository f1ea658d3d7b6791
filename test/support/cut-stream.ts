import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';

export type Cuts = {
  /** The first flight is put into records of so many octets of handshake each; null: as it came. */
  readonly recordOctets: number | null;
  /** And sent in segments of so many octets, each on its own. */
  readonly segmentOctets: number;
};

/**
 * A connection for a TLS client whose first flight goes out in pieces. Where records end is no part of the handshake's transcript
 * (RFC 8446 section 5.1), so a server that puts them together right goes on as if nothing had happened.
 */
export function connectInPieces(port: number, { recordOctets, segmentOctets }: Cuts): Duplex {
  const socket: Socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let isFirst = true;
  const stream = new Duplex({
    read: () => void socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      if (!isFirst) {
        socket.write(chunk, () => done());
        return;
      }
      isFirst = false;
      void sendInSegments(socket, recordOctets === null ? chunk : splitRecords(chunk, recordOctets), segmentOctets).then(() => done());
    },
    final: (done) => void socket.end(() => done()),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk) => void (stream.push(chunk) || socket.pause()));
  socket.on('end', () => stream.push(null));
  socket.on('error', () => stream.destroy());
  socket.on('close', () => stream.destroy());
  return stream;
}

/** Each segment waits until the one before has left, so that they do not grow together again here. */
async function sendInSegments(socket: Socket, octets: Buffer, segmentOctets: number): Promise<void> {
  for (let at = 0; at < octets.length && !socket.destroyed; at += segmentOctets) {
    await new Promise<void>((resolve) => socket.write(octets.subarray(at, at + segmentOctets), () => setImmediate(resolve)));
  }
}

/** Puts the handshake octets of the records into smaller records. */
export function splitRecords(flight: Buffer, recordOctets: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < flight.length;) {
    const header = flight.subarray(at, at + 3);
    const end = at + 5 + flight.readUInt16BE(at + 3);
    for (let from = at + 5; from < end; from += recordOctets) {
      const piece = flight.subarray(from, Math.min(end, from + recordOctets));
      pieces.push(header, Buffer.of(piece.length >> 8, piece.length & 255), piece);
    }
    at = end;
  }
  return Buffer.concat(pieces);
}
