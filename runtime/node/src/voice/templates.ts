// Menus that many functions need, in English. What is pressed comes to pie as menuResult.value.
import { MAX_PROMPT, refuse, text, whole } from './check.ts';
import { createMenu, type Menu, type MenuAction } from './menu.ts';

type Choice = readonly [digit: string, value: string];

function ask(prompt: string, repeat: string, choices: readonly Choice[]): Menu {
  return choices.reduce((m, [digit, value]) => m.option(digit, `return(${value})` as MenuAction), createMenu().prompt(prompt).repeatPrompt(repeat)).build();
}

/** What a template is given becomes a part of its prompt. */
const given = (what: string, v: unknown): string => text(what, v, MAX_PROMPT);

export interface Language {
  /** As the caller hears it. */
  name: string;
  /** What pie gets, such as a locale. */
  value: string;
}

const languages: readonly Language[] = [{ name: 'English', value: 'en-US' }, { name: 'Spanish', value: 'es-US' }, { name: 'French', value: 'fr-FR' }];

export const MenuTemplates = Object.freeze({
  /** 1 sales, 2 support, 0 operator. */
  business(companyName: string): Menu {
    const keys = 'Press 1 for sales, 2 for support, or 0 for an operator.';
    return ask(`Thank you for calling ${given('business: companyName', companyName)}. ${keys}`, keys, [['1', 'sales'], ['2', 'support'], ['0', 'operator']]);
  },

  /** 1 yes, 2 no. */
  yesNo(question: string): Menu {
    const keys = 'Press 1 for yes, or 2 for no.';
    return ask(`${given('yesNo: question', question)} ${keys}`, keys, [['1', 'yes'], ['2', 'no']]);
  },

  /** A key for each of one to nine languages, beginning with 1; the value of what was chosen. English, Spanish and French if it is left out. */
  language(choices: readonly Language[] = languages): Menu {
    if (!Array.isArray(choices) || choices.length === 0 || choices.length > 9) refuse('language takes one to nine languages');
    const keys = choices.map((c, i) => `For ${given('language: name', c?.name)}, press ${i + 1}.`).join(' ');
    return ask(keys, keys, choices.map((c, i) => [String(i + 1), text('language: value', c.value, 64)]));
  },

  /** 1 voicemail, 2 website, 3 emergency. */
  afterHours(companyName: string): Menu {
    const keys = 'Press 1 to leave a message, 2 to hear our website, or 3 if this is an emergency.';
    return ask(`You have reached ${given('afterHours: companyName', companyName)} outside of our opening hours. ${keys}`, keys, [['1', 'voicemail'], ['2', 'website'], ['3', 'emergency']]);
  },

  /** 1 consent, 2 no_consent. */
  recordingConsent(): Menu {
    const keys = 'Press 1 to agree, or 2 to go on without a recording.';
    return ask(`We would like to record this call. ${keys}`, keys, [['1', 'consent'], ['2', 'no_consent']]);
  },

  /** Some digits: 1 to 20. pie gets them with the type sequence. */
  numericInput(prompt: string, digits: number): Menu {
    const asked = given('numericInput: prompt', prompt);
    return createMenu().prompt(asked).maxDigits(whole('numericInput: digits', digits, 1, 20)).build();
  },

  /** 1 hold, 2 callback. */
  callbackRequest(): Menu {
    const keys = 'Press 1 to hold the line, or 2 to be called back.';
    return ask(`All our lines are busy. ${keys}`, keys, [['1', 'hold'], ['2', 'callback']]);
  },

  /** 1 billing, 2 technical, 3 new_service, 0 agent. */
  customerService(companyName: string): Menu {
    const keys = 'Press 1 for billing, 2 for technical support, 3 for a new service, or 0 for an agent.';
    return ask(`Welcome to the customer service of ${given('customerService: companyName', companyName)}. ${keys}`, keys, [['1', 'billing'], ['2', 'technical'], ['3', 'new_service'], ['0', 'agent']]);
  },

  /** 1 excellent, 2 good, 3 fair, 4 poor. */
  satisfactionSurvey(): Menu {
    const keys = 'Press 1 for excellent, 2 for good, 3 for fair, or 4 for poor.';
    return ask(`How was our service today? ${keys}`, keys, [['1', 'excellent'], ['2', 'good'], ['3', 'fair'], ['4', 'poor']]);
  },
});
