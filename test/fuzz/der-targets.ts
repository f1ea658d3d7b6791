import { Problem } from '../../src/core/problems/problem.ts';
import { type Certificate, parseCertificate } from '../../src/core/x509/certificate.ts';
import { parseCertificateList } from '../../src/core/x509/certificate-list.ts';
import { lintAnyCertificate } from '../../src/core/x509/lint-any-certificate.ts';
import { parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { parseOcspRequest } from '../../src/core/x509/ocsp-request.ts';
import { type FuzzTarget, judged } from './fuzz-target.ts';
import { judgeEverywhere } from './judge-everywhere.ts';
import { mutateDer } from './mutate-der.ts';
import { readCorpus } from './read-corpus.ts';

const refusedAs =
  (...codes: readonly string[]) =>
  (error: unknown): boolean =>
    error instanceof Problem && codes.includes(error.code);

const [root, , leaf] = readCorpus('certificate').map((der) => parseCertificate(der));
/** To stand beside a mutant in paths. */
const beside = [leaf!, root!] as const;

/** What strangers send as DER. Whatever is not read is refused by a code that its protocol knows an answer to. */
export const derTargets: readonly FuzzTarget[] = [
  {
    name: 'certificate-request',
    corpus: readCorpus('certificate-request'),
    mutate: mutateDer,
    examine: (input) => judged(() => parseCertificateRequest(input), refusedAs('csr-malformed', 'identity-malformed')),
  },
  {
    name: 'ocsp-request',
    corpus: readCorpus('ocsp-request'),
    mutate: mutateDer,
    examine: (input) => judged(() => parseOcspRequest(input), refusedAs('der-malformed')),
  },
  {
    name: 'certificate',
    corpus: readCorpus('certificate'),
    mutate: mutateDer,
    examine: (input) => {
      // Whatever it is, the lint has an answer.
      lintAnyCertificate(input, { issuer: null, blockedKeys: new Set(['0'.repeat(20)]) });
      const read: Certificate[] = [];
      const verdict = judged(() => read.push(parseCertificate(input)), refusedAs('der-malformed'));
      // Nothing that was read may throw later.
      for (const certificate of read) judgeEverywhere(certificate, beside);
      return verdict;
    },
  },
  {
    name: 'certificate-list',
    corpus: readCorpus('certificate-list'),
    mutate: mutateDer,
    examine: (input) => judged(() => parseCertificateList(input), refusedAs('der-malformed')),
  },
];
