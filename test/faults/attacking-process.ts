import { once } from 'node:events';
import { attacks, type Attack, type Target } from './attacks.ts';

/** The first message to this process; any second one ends the attacks. */
export type AttackOrder = Pick<Target, 'port' | 'certificate'>;

/** Attacks again whenever the other side ended it. Answers how often that was. */
async function attackOn(attack: Attack, target: Target): Promise<readonly [string, number]> {
  let cutOff = 0;
  const one = async (): Promise<void> => {
    while (!target.signal.aborted) {
      await attack.once(target);
      if (!target.signal.aborted) cutOff += 1;
    }
  };
  await Promise.all(Array.from({ length: attack.atOnce }, one));
  return [attack.name, cutOff];
}

const stop = new AbortController();
const [order] = (await once(process, 'message')) as [AttackOrder];
process.once('message', () => stop.abort());
const target: Target = { ...order, signal: stop.signal };
const cutOff = Object.fromEntries(await Promise.all(attacks.map((attack) => attackOn(attack, target))));
process.send!(cutOff, () => process.disconnect!());
