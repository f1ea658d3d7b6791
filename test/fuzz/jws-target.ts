import { AcmeProblem } from '../../src/protocols/acme/problems.ts';
import { parseJsonText, parseJws, verifyJws } from '../../src/protocols/acme/jws.ts';
import { type FuzzTarget, judged } from './fuzz-target.ts';
import { mutateJws } from './mutate-jws.ts';
import { readCorpus } from './read-corpus.ts';

const corpus = readCorpus('jws');
const signed = new Set(
  corpus.map((octets) => {
    const { protected: head, payload } = JSON.parse(Buffer.from(octets).toString()) as { readonly [name: string]: string };
    return `${head}.${payload}`;
  }),
);

/** What every POST of ACME is. Nothing passes but what was signed: the corpus holds all that ever was. */
export const jwsTarget: FuzzTarget = {
  name: 'jws',
  corpus,
  mutate: mutateJws,
  examine: (input) =>
    judged(
      () => {
        const jws = parseJws(parseJsonText(Buffer.from(input).toString(), 'the body'));
        if (jws.signer.kind === 'kid') throw new AcmeProblem('accountDoesNotExist', 'nobody has an account here');
        verifyJws(jws, jws.signer.key);
        if (!signed.has(jws.signingInput)) throw new Error('accepted what nobody signed');
      },
      (error) => error instanceof AcmeProblem && error.type !== 'serverInternal',
    ),
};
