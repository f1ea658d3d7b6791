import { isIP } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';

/** An IP address and a TCP port. */
export type HostPort = { readonly host: string; readonly port: number };

/** Parses `127.0.0.1:8443` or `[::1]:8443`. Names are not resolved here. @throws input-invalid */
export function parseHostPort(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (match === null || isIP(host) === 0 || port > 65_535) {
    throw new Problem('input-invalid', `Cannot parse address: ${JSON.stringify(text.slice(0, 100))}, expected IP:PORT`);
  }
  return { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
