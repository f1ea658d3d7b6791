import { readFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { type Certificate, parseCertificate } from '../core/x509/certificate.ts';
import { type AnyFinding, lintAnyCertificate } from '../core/x509/lint-any-certificate.ts';
import { decodePem } from '../core/x509/pem.ts';
import { readBlockedKeys } from '../platform/config/blocked-keys.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import { escapeText } from './output.ts';

type Linted = { readonly file: string; readonly certificate: number; readonly findings: readonly AnyFinding[] };

/** `countersign cert lint`: needs the files and nothing else. A finding of level error makes the answer no. */
export const run: Run = async (invocation) => {
  if (invocation.args.length === 0) throw new UsageError('expected files with certificates');
  const blocked = textOption(invocation, 'blockedKeys');
  const options = {
    issuer: await readIssuer(invocation),
    blockedKeys: blocked === undefined ? new Set<string>() : await readBlockedKeys(blocked),
  };
  const linted: Linted[] = [];
  for (const file of invocation.args) {
    const certificates = readCertificates(await readOctets(file), file);
    // In a chain each certificate's issuer follows it.
    const issuers = certificates.map((_, index) => tryParse(certificates[index + 1]) ?? options.issuer);
    linted.push(
      ...certificates.map((der, index) => ({
        file,
        certificate: index + 1,
        findings: lintAnyCertificate(der, { ...options, issuer: issuers[index] ?? null }),
      })),
    );
  }
  invocation.output.answer({ certificates: linted }, () => linted.flatMap(describe).map(escapeText));
  return linted.some(({ findings }) => findings.some(({ level }) => level === 'error')) ? 'no' : 'ok';
};

function describe({ file, certificate, findings }: Linted): readonly string[] {
  const place = `${file} (${certificate})`;
  if (findings.length === 0) return [`${place}: no findings`];
  return findings.map(({ level, rule, clause, message }) => `${place}: ${level} ${rule}: ${message} [${clause}]`);
}

/** PEM with any number of certificates, or one as DER. */
function readCertificates(octets: Uint8Array, file: string): readonly Uint8Array[] {
  if (octets[0] === 0x30) return [octets];
  const certificates = decodePem(Buffer.from(octets).toString('latin1'), 'CERTIFICATE');
  if (certificates.length === 0) throw new Problem('input-invalid', `Cannot read ${file}, expected a certificate as PEM or DER`);
  return certificates;
}

async function readIssuer(invocation: Invocation): Promise<Certificate | null> {
  const file = textOption(invocation, 'issuer');
  return file === undefined ? null : parseCertificate(readCertificates(await readOctets(file), file)[0]!);
}

function tryParse(der: Uint8Array | undefined): Certificate | null {
  try {
    return der ? parseCertificate(der) : null;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return null;
  }
}

async function readOctets(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read ${file}, expected a readable file`, { cause });
  }
}
