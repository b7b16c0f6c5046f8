// The list of walks. A walk is a test: a person does something from beginning to end in a browser, and what he must and must
// not see is asserted. A page named `docs/schemes.md` names walks; a test of the portal finds them by `walk("NAME"`.

/** Every walk, in the order of their files. */
export const walks = [];

/** Languages and widths in which consumers and clerks meet the pages: a telephone, and a desk. */
const ALL = ["zh", "en"].flatMap((lang) => [390, 1280].map((width) => ({ lang, width })));

/**
 * All of them in the long form (`cargo xtask test-long browser`) and where pictures are made. Otherwise each language and each
 * width once: English, whose words are longer, where there is less room.
 */
export const EVERYWHERE = process.env.TAXDISK_TEST_EVERYWHERE || process.env.TAXDISK_TEST_PICTURES
  ? ALL
  : ALL.filter(({ lang, width }) => (lang === "en") === (width === 390));

/**
 * Adds a walk.
 *
 * @param {string} name as docs/schemes.md names it
 * @param {{over?: object[], alone?: boolean}} options `over`: it is walked once for each of these, as a test each; `alone`:
 *   nobody else may walk meanwhile, because it breaks something that all share
 * @param {(site: import("./site.mjs").Site, one: object) => Promise<void>} run throws what is wrong
 */
export function walk(name, { over = [{}], alone = false }, run) {
  for (const one of over) {
    const words = Object.values(one).join(" ");
    const seen = { lang: "zh", width: 390, ...one };
    walks.push({ name: words ? `${name} (${words})` : name, folder: [name, ...Object.values(one)].join("-"), alone, run, one: seen });
  }
}
