import { connect } from 'node:tls';

/** The serial (hex, upper case) of the certificate that a port serves, read from a handshake of our own without a client certificate. */
export async function readServedSerial(port: number): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () =>
    resolve(socket.getPeerCertificate().serialNumber ?? null),
  );
  socket.on('error', () => resolve(null));
  socket.setTimeout(TIMEOUT_MS, () => resolve(null));
  const serial = await promise;
  socket.destroy();
  return serial;
}

const TIMEOUT_MS = 3_000;
