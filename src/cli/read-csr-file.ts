import { readFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { decodePem } from '../core/x509/pem.ts';

/** A CSR as DER, from a file that holds it as PEM or DER. @throws input-invalid, csr-malformed */
export async function readCsrFile(file: string): Promise<Uint8Array> {
  const octets = await readFile(file).catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot read CSR: ${file}, expected a readable file`, { cause });
  });
  if (octets[0] === SEQUENCE) return octets;
  const [first] = decodePem(octets.toString('latin1'), 'CERTIFICATE REQUEST');
  if (first === undefined) throw new Problem('csr-malformed', `Cannot read CSR: ${file} holds none, expected PEM or DER`);
  return first;
}

/** A DER structure begins with this octet, a PEM file never does. */
const SEQUENCE = 0x30;
