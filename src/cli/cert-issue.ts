import { readFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { parseCertificateRequest } from '../core/x509/certificate-request.ts';
import { decodePem, encodePem } from '../core/x509/pem.ts';
import { openClient } from './client.ts';
import { neededOption, type Run, textOption } from './command.ts';
import { reserveOut } from './write-secret.ts';

/** `countersign cert issue`: asks for the names that the CSR asks for. */
export const run: Run = async (invocation) => {
  const csr = await readRequest(neededOption(invocation, 'csr'));
  const { subjectAltNames } = parseCertificateRequest(csr);
  const environment = textOption(invocation, 'environment');
  const client = openClient(invocation);
  const profile = neededOption(invocation, 'profile');
  await using out = await reserveOut(invocation);
  const answer = await client.post<{ readonly pem: string; readonly serial: string }>('/v1/certificates', {
    csr: encodePem('CERTIFICATE REQUEST', csr),
    profile,
    ...(environment === undefined ? {} : { environment }),
    ...(subjectAltNames.uri[0] === undefined ? {} : { spiffeId: subjectAltNames.uri[0] }),
    ...(subjectAltNames.dns.length === 0 ? {} : { dnsNames: subjectAltNames.dns }),
    ...(subjectAltNames.ip.length === 0 ? {} : { ipAddresses: subjectAltNames.ip }),
  });
  await out?.write(answer.pem);
  invocation.output.answer(answer, () =>
    out === null ? answer.pem.trimEnd().split('\n') : [`certificate ${answer.serial} written to ${out.file}`],
  );
  return 'ok';
};

async function readRequest(file: string): Promise<Uint8Array> {
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
