import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A key and its chain, PEM, as TLS takes them. */
export type StolenIdentity = { readonly key: string; readonly cert: string };

/** What somebody gets who can read a data plane's state directory, or null while nothing has joined there. */
export function stealIdentity(stateDirectory: string): StolenIdentity | null {
  try {
    const text = readFileSync(join(stateDirectory, 'identity'), 'utf8');
    const body = JSON.parse(text.slice(text.indexOf('\n') + 1)) as { readonly privateKey: string; readonly chain: readonly string[] };
    return { key: toPem('PRIVATE KEY', body.privateKey), cert: body.chain.map((der) => toPem('CERTIFICATE', der)).join('') };
  } catch {
    return null;
  }
}

function toPem(label: string, base64: string): string {
  return `-----BEGIN ${label}-----\n${base64.match(/.{1,64}/g)!.join('\n')}\n-----END ${label}-----\n`;
}
