"""The sentences of stories and diaries: (name, weight, flags needed, Korean, English); `grammar` explains the notation."""

from __future__ import annotations

from gyebo.world.other_rows import OPEN

_OPEN = (
    ("open_story", 5, "", "어느 {season:날} {daytime:이었다}.", "It was {daytime:a} in {season}."),
    ("open_story", 6, "", "{town:에} {weather:going} {year:날}이었다.",
     "It was {year:a} day and {weather:going} in {town}."),
    ("open_story", 4, "", "{town:의} {season:은} 언제나 {season_mood:past}.",
     "{season:Cap} in {town} was always {season_mood}."),
    ("open_story", 4, "", "{town:에} 전해 오는 이야기다.", "Here is a story that they tell in {town}."),
    ("open_diary", 5, "", "오늘은 {early:부터} {weather:past}.", "Today {weather:past} from {early} on."),
    ("open_diary", 3, "", "오늘은 {town:에} 놀러 [가다.past].", "Today I went to {town} for fun."),
    ("open_diary", 2, "", "나는 {season:날} {daytime:에} 일기장을 폈다.", "I opened my diary on {season:a} {daytime}."),
)  # fmt: skip

_HERO = (("hero", 1, "", "{hero:full,은} >intro", "{hero:full} >intro"),)

_INTRO = (
    ("intro", 2, "", "{trait:adnominal} 사람이었다.", "was {trait:a} person."),
    ("intro_job", 4, "F_JOB", "{trait:adnominal} {job:이었다}.", "was {trait:a} {job}."),
    ("intro_home", 4, "F_JOB F_HOME", "{home:에} 사는 {trait:adnominal} {job:이었다}.",
     "was {trait:a} {job} from {home}."),
    ("intro_at", 6, "", "{since:부터} {place:에} [있다.past].", "had been {place:at} since {since}."),
)  # fmt: skip

_BEAT = (
    ("act", 40, "", "{who:은} >act_named", "{who:Subj} >act_named"),
    # Korean omits the subject where it stays the same; English has "he" there, which `who` offers
    ("zero", 45, "SAME", ">act", "{same:Subj} >act"),
    ("act", 10, "", "{then} {who:은} >act", "{then}, {who:subj} >act"),
    ("same", 6, "SAME", "그러고는 >act", "Then {same:subj} >act"),
    ("appear", 3, "ROOM PLACE", "{then} {new:full,이} [나타나다.past].", "{then}, {new:full} appeared."),
    ("weather", 2, "", "{weather:begin}.", "{weather:Begin}."),
    ("time", 3, "LATER", "{later:이} 되었다.", "{later:Cap} came."),
    ("next_day", 1.5, "LATE", "다음 날이 [밝다.past].", "The next day dawned."),
    ("creature", 4, "PLACE", "근처에서 {look} {creature:이} {creature_act:past}.",
     "Nearby, {look:a} {creature} {creature_act:past}."),
    ("mood", 4, "MOOD_LEFT", "{here:은} {place_mood:past}.", "{here:The} was {place_mood}."),
    ("fixture", 3, "FIXTURE_LEFT", "{here:에는} {standing_quality} {standing_fixture:이} [있다.past].",
     "There was {standing_quality:a} {standing_fixture} {here:at}."),
    ("q_where", 3, "TOGETHER", '"어디에 갈까?" {mate:이} [묻다.past].', '"Where shall we go?" {mate:subj} asked.'),
    ("q_lost", 8, "LOST TOGETHER", '"혹시 {lost:내,을} 못 봤어?" {self:이} [묻다.past].',
     '"Have you seen {lost:my}?" {self:subj} asked.'),
    ("q_gift", 3, "GOT_ELSEWHERE TOGETHER", '"그 {far_gift:은} 누가 줬어?" {mate:이} [묻다.past].',
     '"Who gave you {far_gift:that}?" {mate:subj} asked.'),
    ("q_origin", 3, "BOUGHT TOGETHER", '"그 {bought:은} 어디서 샀어?" {mate:이} [묻다.past].',
     '"Where did you buy {bought:that}?" {mate:subj} asked.'),
    ("q_food", 3, "F_FOOD TOGETHER", '"제일 좋아하는 음식이 뭐야?" {mate:이} [묻다.past].',
     '"What is your favorite food?" {mate:subj} asked.'),
    ("q_home", 2, "F_HOME TOGETHER", '"어디 살아?" {mate:이} [묻다.past].', '"Where do you live?" {mate:subj} asked.'),
    ("greet", 2, "TALK", '"안녕, {named_mate:아}!" {self:이} 말했다.', '"Hello, {named_mate}!" {self:subj} said.'),
    ("thanks", 3, "GOT TOGETHER", '"{gift:은} 정말 마음에 들어." {self:이} 말했다.',
     '"I really like {gift:this}," {self:subj} said.'),
)  # fmt: skip

_ANSWERS = {
    "answer_where": (
        ("a_where", 5, "", '"{place:에} 가자." {self:이} [대답하다.past].',
         '"Let us go to {place:the}," {self:subj} answered.'),
        ("a_unsure", 1, "", '"글쎄, 잘 모르겠어." {self:이} [대답하다.past].',
         '"Well, I am not sure," {self:subj} answered.'),
    ),
    "answer_lost": (
        ("a_seen", 3, "", '"응, {place:에서} 봤어." {mate:이} [대답하다.past].',
         '"Yes, {place:at}," {mate:subj} answered.'),
        ("a_unsure", 2, "", '"아니, 못 봤어." {mate:이} [대답하다.past].', '"No, I have not," {mate:subj} answered.'),
    ),
    "answer_gift": (
        ("a_gift", 1, "", '"{q_giver:이} 줬어." {self:이} [대답하다.past].',
         '"It was {q_giver:obj}," {self:subj} answered.'),
    ),
    "answer_origin": (
        ("a_origin", 1, "", '"{q_place:에서} 샀어." {self:이} [대답하다.past].',
         '"I got it {q_place:at}," {self:subj} answered.'),
    ),
    "answer_food": (
        ("a_food", 1, "", '"{favourite:을} 제일 좋아해." {self:이} [대답하다.past].',
         '"I like {favourite} best," {self:subj} answered.'),
    ),
    "answer_home": (
        ("a_home", 1, "", '"{home:에} 살아." {self:이} [대답하다.past].', '"I live in {home}," {self:subj} answered.'),
    ),
}  # fmt: skip

_MOVES = (
    ("go", 7, "", "{place:으로} {travel:past}.", "{travel:past} to {place:the}."),
    ("go", 4, "", "{place:으로} {gait} {travel:past}.", "{travel:past} {gait} to {place:the}."),
    ("go_with", 4, "TOGETHER", "{mate:과} 함께 {place:으로} {travel:past}.",
     "{travel:past} with {mate:obj} to {place:the}."),
    ("go_to_see", 4, "AWAY", "{away:을} 만나러 {place:으로} {travel:past}.",
     "{travel:past} to {place:the} to see {away:obj}."),
    ("home", 1.5, "PLACE", "집으로 [돌아가다.past].", "[return.past] home."),
    ("go_clue", 20, "CLUE", "서둘러 {clue:으로} [돌아가다.past].", "[rush.past] off to {clue:the}."),
    ("meet", 3, "ROOM PLACE", "{new:full,을} [만나다.past].", "[meet.past] {new:full}."),
    ("again", 4, "AWAY PLACE", "{away:을} 다시 [만나다.past].", "[meet.past] {away:obj} again."),
    ("part", 2, "TOGETHER", "{mate:과} [헤어지다.past].", "[say.past] goodbye to {mate:obj}."),
)  # fmt: skip

_THINGS = (
    ("pick_up", 4, "WILD", "{found_quality} {found_thing:을} [줍다.past].",
     "[pick.past] up {found_quality:a} {found_thing}."),
    ("buy", 9, "SHOP", "{found_quality} {found_thing:을} [사다.past].", "[buy.past] {found_quality:a} {found_thing}."),
    ("buy_for", 4, "SHOP OTHERS", "선물로 {other:에게} 줄 {found_quality} {found_thing:을} [고르다.past].",
     "[choose.past] {found_quality:a} {found_thing} for {other:obj}."),
    ("keep_promise", 15, "PROMISE", "마침내 {promised:에게} 주려던 {promised_item:을} [건네다.past].",
     "[present.past] {promised:obj} with the promised {promised_item}."),
    ("handle", 4, "HELD", "그 {held:을} {handle:past}.", "{handle:past} {held:the}."),
    ("handle", 4, "HELD", "그 {held:을} {manner} {handle:past}.", "{handle:past} {held:the} {manner}."),
    ("give", 4, "HELD TOGETHER", "{mate:에게} 그 {held:을} [주다.past].", "[give.past] {held:the} to {mate:obj}."),
    ("lose", 2.5, "HELD", "그 {held:을} [잃어버리다.past].", "[lose.past] {held:the}."),
    ("search", 4, "LOST", "잃어버린 {lost:을} [찾아다니다.past].", "[search.past] everywhere for {lost:the}."),
    ("find", 3, "LOST PLACE", "드디어 {lost:을} [찾다.past].", "[find.past] {lost:the} at last."),
    ("find", 40, "CLUE_HERE", "드디어 {lost:을} [찾다.past].", "[find.past] {lost:the} at last."),
    ("sad_lost", 3, "LOST", "잃어버린 {lost} 때문에 {sad:past}.", "was {sad} because of the lost {lost}."),
    ("get_goal", 12, "GOAL SHOP", "그토록 갖고 싶던 {goal:을} [사다.past].", "[get.past] the long-awaited {goal}."),
    ("dream_of", 1.5, "GOAL", "오직 {goal} 생각뿐이었다.", "could think only of {goal:the}."),
    ("recall_gift", 3, "GOT", "{giver:에게서} 받은 {gift:을} 꺼내 [보다.past].",
     "[gaze.past] at the {gift} from {giver:obj}."),
    ("glad_gift", 2, "GOT", "{giver:에게서} 받은 {gift} 덕분에 {glad:past}.",
     "was {glad} with the {gift} from {giver:obj}."),
    ("recall_bought", 3, "BOUGHT", "{origin:에서} 산 {bought:을} 다시 꺼냈다.",
     "[take.past] out the {bought} from {origin:the}."),
)  # fmt: skip

_PEOPLE = (
    ("deed", 4, "TOGETHER", "{mate:을} {deed:past}.", "{deed:past} {mate:obj}."),
    ("deed", 1.5, "TOGETHER", "{mate:을} {manner} {deed:past}.", "{deed:past} {mate:obj} {manner}."),
    ("talk", 4, "TOGETHER", "{mate:과} {wanted_quality} {wanted_thing} 이야기를 [나누다.past].",
     "talked about {wanted_quality:a} {wanted_thing} with {mate:obj}."),
    ("toward", 4, "TOGETHER", "{mate:에게} {toward:past}.", "{toward:past} {mate:obj}."),
    ("joint", 4, "TOGETHER", "{mate:과} 함께 {joint:past}.", "{joint:past} with {mate:obj}."),
    ("share", 3, "TOGETHER", "{mate:과} {taste} {food:을} 나누어 [먹다.past].",
     "[share.past] {taste} {food} with {mate:obj}."),
    ("glad_mate", 2, "TOGETHER", "{mate:이} 곁에 있어서 {glad:past}.", "was {glad} to be with {mate:obj}."),
    ("miss", 2, "AWAY", "{away:이} 보고 [싶다.past].", "[miss.past] {away:obj}."),
    ("think", 1.5, "AWAY", "{away:을} [생각하다.past].", "[think.past] of {away:obj}."),
    ("letter", 1.5, "AWAY", "{away:에게} 긴 편지를 [쓰다.past].", "[mail.past] {away:obj} a long letter."),
    ("sad_away", 1.5, "AWAY", "{away:이} 없어서 {sad:past}.", "was {sad} without {away:obj}."),
)  # fmt: skip

_ALONE = (
    ("eat", 4, "", "{food:을} {meal:past}.", "{meal:past} {food}."),
    ("eat", 7, "", "{taste} {food:을} {meal:past}.", "{meal:past} {taste} {food}."),
    ("eat", 8, "EATERY", "{food:과} {food2:을} {meal:past}.", "{meal:past} {food} and {food2}."),
    ("eat", 4, "EATERY", "{food}, {food2}, {food3:을} {meal:past}.", "{meal:past} {food}, {food2}, and {food3}."),
    ("go_eat", 9, "", "{place:으로} {travel:so} {taste} {food:을} {meal:past}.",
     "{travel:past} to {place:the} and {meal:past} {taste} {food}."),
    ("go_idle", 9, "", "{place:으로} {travel:so} {manner} {idle:past}.",
     "{travel:past} to {place:the} and {idle:past} {manner}."),
    ("eat_idle", 9, "", "{taste} {food:을} {meal:and} {manner} {idle:past}.",
     "{meal:past} {taste} {food} and {idle:past} {manner}."),
    ("see_act", 9, "PLACE", "{look} {creature:을} {encounter:and} {gesture:past}.",
     "{encounter:past} {look:a} {creature} and {gesture:past}."),
    ("drink", 2, "", "{drink:을} [마시다.past].", "[drink.past] {drink}."),
    ("drink", 5, "EATERY", "{manner} {drink:을} [마시다.past].", "[drink.past] {drink} {manner}."),
    ("feel", 2, "", "{body:past}.", "was {body}."),
    ("no_reason", 1, "", ("까닭 없이 {sad:past}.", "왠지 {sad:past}."), "was {sad} for no reason."),
    ("no_reason", 1, "", "무척 {glad:past}.", "was truly {glad}."),
    ("idle", 4, "", "{idle:past}.", "{idle:past}."),
    ("idle", 6, "", "{manner} {idle:past}.", "{idle:past} {manner}."),
    ("idle", 6, "", "{gesture:while} {idle:past}.", "{idle:past}, {gesture:gerund}."),
    ("idle", 4, "", "{gesture:past}.", "{gesture:past}."),
    ("see", 4, "PLACE", "{creature:을} {encounter:past}.", "{encounter:past} {creature:a}."),
    ("see", 7, "PLACE", "{look} {creature:을} {encounter:past}.", "{encounter:past} {look:a} {creature}."),
    ("look_around", 1, "PLACE", "{here:을} 둘러[보다.past].", "looked around {here:the}."),
    ("remember", 3, "VISITED", "{before_last:과} {last:에} 다녀온 일을 [떠올리다.past].",
     "remembered the trip to {before_last:the} and {last:the}."),
    ("remember_first", 2, "VISITED", "맨 처음 갔던 {first_place:이} [떠오르다.past].",
     "thought back to {first_place:the}, the first stop of all."),
    ("rain", 4, "RAIN", ("비에 흠뻑 [젖다.past].", "비를 맞으며 [서 있다.past]."), "got soaked in the rain."),
    ("snow", 4, "SNOW", "눈사람을 [만들다.past].", "built a snowman."),
    ("wind", 4, "WIND", "바람을 등지고 [서다.past].", "turned away from the wind."),
    ("sun", 4, "SUN", "햇볕을 [쬐다.past].", "basked in the sunshine."),
    ("fog", 4, "FOG", "안개 속을 [헤매다.past].", "groped through the fog."),
    ("sleep", 3, "NIGHT", "스르르 잠이 [들다.past].", "fell fast asleep."),
    ("dream", 6, "NIGHT", "꿈속에서 {look} {creature_any:을} [만나다.past].", "dreamed of {look:a} {creature_any}."),
)  # fmt: skip

_ASIDES = (
    ("want", 8, "NOGOAL", "전부터 {wanted_quality} {wanted_thing:을} 갖고 [싶다.past].",
     "had long wanted {wanted_quality:a} {wanted_thing}."),
    ("f_home", 2, "F_HOME", "{home:에} [살다.past].", "[live.past] in {home}."),
    ("f_job", 2, "F_JOB", "{job:으로} [일하다.past].", "[work.past] as {job:a}."),
    ("f_food", 1.5, "F_FOOD", "무엇보다 {favourite:을} [좋아하다.past].", "[like.past] {favourite} best of all."),
    ("f_colour", 1.5, "F_COLOUR", "색 가운데 {colour:을} 제일 [좋아하다.past].", "loved the color {colour}."),
    ("f_hobby", 1.5, "F_HOBBY", "예전부터 {hobby:doing} 것을 [좋아하다.past].", "loved to {hobby:base}."),
    ("f_pet", 1.5, "F_PET", "{pet_name:이라는} {pet:을} [기르다.past].", "[keep.past] {pet:a} called {pet_name}."),
    ("f_friend", 1.5, "F_FRIEND", "{friend:full,과} 친한 사이였다.", "was good friends with {friend:full}."),
    ("f_treasure", 1.5, "F_TREASURE", "늘 {treasure:을} 보물처럼 [아끼다.past].", "treasured a certain {treasure}."),
)  # fmt: skip

ACTS = (*_MOVES, *_THINGS, *_PEOPLE, *_ALONE)
# names of the sentences after which the same subject may continue without being named, and of those that leave that open
ACTIONS = frozenset(row[0] for row in (*ACTS, *_ASIDES, *_INTRO))
SCENERY = frozenset(["weather", "time", "next_day", "creature", "mood", "fixture"])

SECTIONS = {
    "open": (*_OPEN, *OPEN),
    "hero": _HERO,
    "intro": _INTRO,
    "beat": _BEAT,
    **_ANSWERS,
    "act": ACTS,
    "act_named": (*ACTS, *_ASIDES),
}
