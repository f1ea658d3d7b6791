import assert from 'node:assert/strict';
import { readByLlhttp } from '../support/llhttp.ts';
import { cutAt, readByUs } from '../support/read-http1.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { mutateOctets } from './mutate-octets.ts';
import { readCorpus } from './read-corpus.ts';

/** Requests and answers as they arrive at the proxy. What is taken of them is what llhttp takes, however the octets were cut. */
export const http1Targets: readonly FuzzTarget[] = (['request', 'answer'] as const).map((type) => ({
  name: `http1-${type}`,
  corpus: readCorpus(`http1-${type}`),
  mutate: mutateOctets,
  examine: (input) => {
    const octets = Buffer.from(input);
    const whole = readByUs([octets], type);
    const pieces = readByUs(
      cutAt(
        octets,
        [...octets.keys()].filter((place) => place % 7 < 2),
      ),
      type,
    );
    assert.deepEqual([pieces.messages, pieces.used], [whole.messages, whole.used]);
    assert.deepEqual(readByLlhttp(octets.subarray(0, whole.used), type), { messages: whole.messages, isRefused: false });
    return whole.isBetween && whole.messages.length > 0 ? 'accepted' : 'refused';
  },
}));
