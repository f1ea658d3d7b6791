import type { Gap } from './demands.ts';
import { describeProgram } from './proxy-program.ts';
import type { RenderOrder } from './render-order.ts';

/** What stands at the top of every file, without the sign of a comment. */
export function headingOf({ title, program, mode }: RenderOrder, gaps: readonly Gap[]): readonly string[] {
  return [
    `Written by \`countersign policy render\` from ${title}, for ${describeProgram(program)}, mode ${mode}.`,
    'A change here is lost when it is written again. Values stand in it as they were given: none of them needs escaping.',
    ...(gaps.length === 0 ? ['Everything that is demanded is enforced here.'] : ['NOT enforced here, or only in part:']),
    ...gaps.map(({ demand, why }) => `  ${demand}: ${why}`),
  ];
}
