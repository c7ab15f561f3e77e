"""The sentences of the tasks (see `tasks`) in Korean and English, in the notation of `grammar`."""

from __future__ import annotations

# relation -> two ways to state it, the question that asks for it, and the gaps whose text answers the question
FACTS = {
    "home": (
        (("{person:은} {town:에} 산다.", "{person} lives in {town}."),
         ("{person:의} 집은 {town:에} 있다.", "The home of {person} is in {town}.")),
        ("{person:은} 어디에 사나요?", "Where does {person} live?"), "town",
    ),
    "job": (
        (("{person:은} {job:으로} 일한다.", "{person} works as {job:a}."),
         ("{person:의} 직업은 {job:이다}.", "The job of {person} is {job:a}.")),
        ("{person:은} 무슨 일을 하나요?", "What is the job of {person}?"), "job",
    ),
    "food": (
        (("{person:은} 무엇보다 {food:을} 좋아한다.", "{person} likes {food} best of all."),
         ("{person:이} 가장 좋아하는 음식은 {food:이다}.", "The favorite food of {person} is {food}.")),
        ("{person:이} 가장 좋아하는 음식은 무엇인가요?", "Which food does {person} like best?"), "food",
    ),
    "colour": (
        (("{person:은} 색 가운데 {colour:을} 제일 좋아한다.", "{person} loves the color {colour}."),
         ("{person:이} 가장 좋아하는 색은 {colour:이다}.", "The favorite color of {person} is {colour}.")),
        ("{person:이} 가장 좋아하는 색은 무엇인가요?", "Which color does {person} love?"), "colour",
    ),
    "hobby": (
        (("{person:은} 틈만 나면 {hobby:present}.", "{person} loves to {hobby:base}."),
         ("{person:의} 취미로 말하자면, 틈날 때마다 {hobby:present}.", "As for hobbies, {person} likes to {hobby:base}.")),
        ("{person:은} 틈이 나면 무엇을 하나요?", "What does {person} love to do?"), "hobby",
    ),
    "pet": (
        (("{person:은} {pet_name:이라는} {pet:을} 기른다.", "{person} keeps {pet:a} called {pet_name}."),
         ("{person:의} {pet} 이름은 {pet_name:이다}.", "The {pet} of {person} is called {pet_name}.")),
        ("{person:이} 기르는 동물의 이름은 무엇인가요?", "What is the name of the pet of {person}?"), "pet_name",
    ),
    "friend": (
        (("{person:은} {friend:과} 가장 친하다.", "{person} is best friends with {friend}."),
         ("{person:의} 가장 친한 친구는 {friend:이다}.", "The best friend of {person} is {friend}.")),
        ("{person:의} 가장 친한 친구는 누구인가요?", "Who is the best friend of {person}?"), "friend",
    ),
    "treasure": (
        (("{person:은} {treasure:을} 보물처럼 아낀다.", "{person} treasures a certain {treasure}."),
         ("{person:의} 보물은 {treasure:이다}.", "The treasure of {person} is {treasure:a}.")),
        ("{person:이} 보물처럼 아끼는 것은 무엇인가요?", "What does {person} treasure?"), "treasure",
    ),
}  # fmt: skip

# statements about a gift: giver and receiver can be distinguished only by particles and word order
GIFT = (
    ("{person:은} {friend:에게} {treasure:을} 주었다.", "{person} gave {friend} {treasure:a}."),
    ("{friend:은} {person:에게서} {treasure:을} 받았다.", "{friend} got {treasure:a} from {person}."),
)

# label -> sentences; a text is one neutral sentence and one of these
NEUTRAL = (
    ("어제 {place:에} 다녀왔다.", "I went to {place:the} yesterday."),
    ("아침 일찍 {place:에서} {person:을} 만났다.", "I met {person} early in the morning {place:at}."),
    ("{person:이} {food:을} 만들어 주었다.", "{person} made some {food} for me."),
    ("{place:에서} {treasure:을} 샀다.", "I bought {treasure:a} {place:at}."),
    ("{person:과} 함께 {town:에} 갔다.", "I went to {town} with {person}."),
    ("주말에는 {person:과} {place:에} 가기로 했다.", "We had planned to go to {place:the} with {person}."),
)
OPINIONS = {
    "positive": (
        ("처음에는 {sad:but} 나중에는 정말 {glad:past}.", "I was {sad} at first, but then I was truly {glad}."),
        ("생각보다 훨씬 즐거워서 또 가고 싶다.", "It was more fun than I had thought, and I want to go again."),
        ("오랜만에 {glad:adnominal} 하루를 보냈다.", "It was a day that left me {glad}."),
        ("기대하지 않았는데 하나도 나쁘지 않았다.", "I expected nothing, but it was not bad at all."),
        ("{sad:future} 줄 알았는데 오히려 {glad:past}.", "I thought I would be {sad}, but I was {glad} instead."),
        ("잃어버렸던 {treasure:을} 드디어 찾았다.", "At last I found {treasure:my} that had been lost."),
        ("{taste} {food} 덕분에 기분이 좋아졌다.", "Some {taste} {food} put me in a good mood."),
        ("친구들에게도 꼭 알려 주고 싶다.", "I will tell all my friends to try it."),
    ),
    "negative": (
        ("처음에는 {glad:but} 나중에는 정말 {sad:past}.", "I was {glad} at first, but then I was truly {sad}."),
        ("생각보다 훨씬 지루해서 다시는 가고 싶지 않다.", "It was more boring than I had thought, and I will not go again."),
        ("하루 종일 {sad:adnominal} 마음뿐이었다.", "It was a day that left me {sad}."),
        ("기대했는데 하나도 좋지 않았다.", "I expected a lot, but it was not good at all."),
        ("{glad:future} 줄 알았는데 오히려 {sad:past}.", "I thought I would be {glad}, but I was {sad} instead."),
        ("아끼던 {treasure:을} 끝내 찾지 못했다.", "In the end I never found {treasure:my} again."),
        ("{taste} {food} 때문에 기분이 상했다.", "Some {taste} {food} put me in a bad mood."),
        ("친구들에게는 절대 권하지 않겠다.", "I will warn all my friends against it."),
    ),
}

# two ways to tell one event; the similarity of two events is the number of gaps that agree
EVENT = (
    ("{person:은} {any_daytime:에} {place:에서} {food:을} {meal:past}.",
     "{person} {meal:past} {food} {place:at} {any_daytime:at}."),
    ("{place:에서} {person:이} {any_daytime:에} {food:을} {meal:past}.",
     "{place:At}, {person} {meal:past} {food} {any_daytime:at}."),
)
EVENT_GAPS = ("person", "place", "any_daytime", "food", "meal")

# the sentence that sums up a story: each clause in Korean where another one follows and where none does, and in English
SUMMARY = {
    "went": ("{hero:full,은} {first_place:에서} {last:으로} 갔고", "{hero:full,은} {first_place:에서} {last:으로} 갔다",
             "{hero:full} went from {first_place:the} to {last:the}"),
    "met": ("만났으며", "만났다", "met"),
    "got": ("{held:을} 얻었고", "{held:을} 얻었다", "got {held:a}"),
    "lost": ("{lost:을} 잃어버렸고", "{lost:을} 잃어버렸다", "lost {lost:a}"),
}  # fmt: skip
