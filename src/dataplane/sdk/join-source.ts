import { readFile } from 'node:fs/promises';
import { type JoinToken, parseJoinToken } from '../../core/identity/join-token.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem } from '../../core/x509/pem.ts';
import type { MachinePass } from '../link/join-control-plane.ts';

/** How a service that has no certificate yet proves that it may have one. Needed until the first certificate only. */
export type JoinSource =
  /** A file with the join token that the operator made for this data plane. */
  | { readonly tokenFile: string }
  /** The join token itself; a file or a secret store is where it should come from. */
  | { readonly token: string }
  /**
   * A file with a token of a declared issuer (OIDC), such as a projected service account token of Kubernetes. It is shown to nobody but the
   * control plane of this SPIFFE ID under the root of `rootFile` (PEM).
   */
  | { readonly oidcTokenFile: string; readonly rootFile: string; readonly controlPlane: string };

/** @throws input-invalid, token-refused, identity-malformed, der-malformed */
export async function readJoinSource(source: JoinSource): Promise<JoinToken | MachinePass> {
  if ('token' in source) return parseJoinToken(source.token);
  if ('tokenFile' in source) return parseJoinToken(await readText('join token', source.tokenFile));
  const [root] = decodePem(await readText('root', source.rootFile), 'CERTIFICATE');
  if (root === undefined)
    throw new Problem('input-invalid', `Cannot read root: ${source.rootFile} holds no certificate, expected one as PEM`);
  return {
    jwt: new Secret((await readText('OIDC token', source.oidcTokenFile)).trim()),
    rootSpkiSha256: parseCertificate(root).spkiSha256,
    controlPlane: parseSpiffeId(source.controlPlane),
  };
}

async function readText(what: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read ${what}: ${file}, expected a readable file`, { cause });
  }
}
